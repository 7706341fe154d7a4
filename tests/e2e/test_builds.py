"""Images from the repository, from the outside: pushed, built once, run by a component, a stage and a rollback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from deploy.demo.api import Api
from tests.e2e.application import BOXES, Application
from tests.e2e.test_docker_up import DockerMesh
from tests.e2e.test_images import MANIFESTS, TAG, step, versions
from tests.servers.engine import Engine

BUILT = BOXES + MANIFESTS.replace(f'existingImageName: "{TAG}"', "build: {context: code}")
FUNCTION = 'VERSION = "{}"\n\n\ndef version() -> dict:\n    return {{"is": VERSION}}\n'
STAGE = 'import os, which; open(os.environ["UNIP_PIPELINE_SECOND"] + "/version", "w").write(which.VERSION)\n'
MODULE = {
    "manifests/all.yml": BUILT.replace(
        '[sh, -c, \'printf "$VERSION" > "$UNIP_PIPELINE_SECOND/version"\']', "python3 stage.py"
    ),
    "code/requirements.txt": "",
    "code/stage.py": STAGE,
}


@pytest.fixture
def mesh(docker_engine: Engine, python_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerMesh]:
    mesh = DockerMesh(tmp_path_factory.mktemp("mesh"), docker_engine)
    mesh.environ["MLMESH_BASE_IMAGE"] = python_image
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()
        docker_engine.clear(mesh.installation)
        label = f"label=mlmesh.installation={mesh.installation}"
        if images := docker_engine.run("image", "ls", "--quiet", "--filter", label).split():
            docker_engine.run("rmi", "--force", *set(images))


@pytest.fixture
def app(mesh: DockerMesh) -> Iterator[Application]:
    with closing(Api(mesh.url, mesh.token)) as api:
        yield Application(mesh, api)


def test_a_repository_is_built_once_for_each_content(app: Application) -> None:
    app.start({**MODULE, "code/which.py": FUNCTION.format("one")})
    first = app.settled()
    assert first["status"] == "live", first
    assert step(first, "images").startswith("which, copy.note is sha256:")
    assert versions(app) == ("one", "one")
    assert "COPY requirements.txt ./" in read_log(app, first)

    second = app.deployed({"README.md": "about\n"})
    assert step(second, "images") == step(first, "images"), "nothing that is built has changed"
    assert read_log(app, second) == read_log(app, first)

    third = app.deployed({"code/which.py": FUNCTION.format("two")})
    assert step(third, "images") != step(first, "images")
    assert versions(app) == ("two", "two")

    app.api.send("POST", f"{app.path}/rollback", {"deployment": first["id"]}, expect=(202,))
    fourth = app.eventually("the rollback is live", lambda: newest_live(app, third))
    assert step(fourth, "images") == step(first, "images")
    assert versions(app) == ("one", "one")


def newest_live(app: Application, old: dict[str, Any]) -> dict[str, Any] | None:
    newest: dict[str, Any] = app.api.get(f"{app.path}/deployments?limit=1")["items"][0]
    return newest if newest["status"] == "live" and newest["id"] != old["id"] else None


def read_log(app: Application, deployment: dict[str, Any]) -> str:
    path = f"{app.path}/deployments/{deployment['id']}/builds/which/log"
    return app.api.send("GET", path, expect=(200,)).body.decode()
