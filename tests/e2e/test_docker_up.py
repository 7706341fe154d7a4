"""`mlmesh up --runtime docker` as README prints it: containers on this machine's engine, the gateway on 127.0.0.1."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import MLMESH, Mesh
from deploy.demo.show import Failed
from services.worker.context import get_installation_id
from tests.e2e.application import BOXES, Application
from tests.servers.engine import Engine
from tests.servers.images import module_image

MANIFESTS = BOXES.replace("{name: results}", "{name: visitors}")
COMPONENT = """\
---
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: NAME}
spec:
  image: {existingImageName: "IMAGE"}
  connectedBoxes: [visitors]
  security: {egress: EGRESS}
  mlService: {inference: "page:copy"}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: NAME}
spec: {mlComponent: {name: NAME}, restfulApi: {path: NAME, auth: {basic: {credentials: users}}}}
"""
FUNCTION = """\
import pathlib

def copy(page: pathlib.Path) -> dict:
    made = page.with_name("copy-" + page.name)
    made.write_bytes(page.read_bytes()[::-1])
    return {"made": made}
"""
DOCKERFILE = "ARG BASE\nFROM ${BASE}\nWORKDIR /module\nCOPY page.py .\nUSER 10001\n"
IMAGE = "mlmesh-test/page:1"
EGRESS = {"page": "internet", "inner": "none"}
CONTENT = b"pixels" * 1000


class DockerMesh(Mesh):
    def __init__(self, folder: Path, engine: Engine) -> None:
        super().__init__(folder, "docker")
        self.environ["DOCKER_HOST"] = engine.url

    @property
    def installation(self) -> str:
        return get_installation_id((self.data / "internal-token").read_text().strip())


@pytest.fixture(scope="module")
def mesh(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerMesh]:
    mesh = DockerMesh(tmp_path_factory.mktemp("mesh"), docker_engine)
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()
        docker_engine.clear(mesh.installation)


@pytest.fixture(scope="module")
def app(mesh: DockerMesh, docker_engine: Engine) -> Iterator[Application]:
    with closing(Api(mesh.url, mesh.token)) as api:
        app = Application(mesh, api)
        app.write({"page.py": FUNCTION, "Dockerfile": DOCKERFILE})
        module_image(docker_engine, IMAGE, app.repository.working)
        texts = [COMPONENT.replace("NAME", name).replace("EGRESS", how) for name, how in EGRESS.items()]
        app.start({"manifests/all.yml": MANIFESTS + "".join(texts).replace("IMAGE", IMAGE)})
        yield app


def copied(app: Application, component: str) -> str:
    """What the file is called that the component made of scans/some.png."""
    inputs = [{"name": "page", "datatype": "FILE", "data": "scans/some.png"}]
    answer = app.call("POST", f"/{component}/predict", {"inputs": inputs})
    assert answer.status == 200, answer.body
    name: str = answer.json()["outputs"][0]["data"]
    return name


@pytest.mark.parametrize("component", EGRESS)
def test_a_components_files_come_and_go_through_the_gateway(app: Application, component: str) -> None:
    put(app)
    assert got(app, copied(app, component)) == CONTENT[::-1]


def test_after_a_restart_on_another_port_the_same_container_reaches_its_files(
    app: Application, mesh: DockerMesh, docker_engine: Engine
) -> None:
    before, address = docker_engine.containers(mesh.installation), mesh.url
    mesh.stop()
    mesh.start()
    assert mesh.url != address
    with closing(Api(mesh.url, mesh.token)) as api:
        app.api = api
        put(app)
        for component in EGRESS:
            app.eventually("it answers", lambda: probed(app, component))  # noqa: B023
            assert got(app, copied(app, component)) == CONTENT[::-1]
    assert docker_engine.containers(mesh.installation) == before


def put(app: Application) -> None:
    answer = app.call("PUT", "/files/visitors/scans/some.png?overwrite=true", CONTENT)
    assert answer.status in (200, 201), answer.body


def got(app: Application, name: str) -> bytes:
    return app.call("GET", f"/files/visitors/{name}?download=1").body


def probed(app: Application, component: str) -> bool:
    shown: str = app.api.get(f"{app.path}/components/{component}")["status"]
    return shown == "healthy"


def test_what_runs_on_is_told_and_removed(app: Application, mesh: DockerMesh, docker_engine: Engine) -> None:
    mesh.stop()
    assert mesh.last_words() == (
        f"2 containers run on: mlmesh up --data {mesh.data} --runtime docker goes on with them, "
        f"mlmesh down --data {mesh.data} removes them"
    )
    assert len(docker_engine.containers(mesh.installation)) == 2
    removed = mesh.run("down", "--data", str(mesh.data))
    assert removed == "2 containers and 2 networks removed; the data stays\n"
    assert docker_engine.containers(mesh.installation) == []
    assert mesh.run("down", "--data", str(mesh.data)) == "0 containers and 0 networks removed; the data stays\n"
    mesh.start()
    with closing(Api(mesh.url, mesh.token)) as api:
        app.api = api
        app.eventually("it is started anew", lambda: probed(app, "page"))
        with pytest.raises(Failed, match="is in use by process"):
            mesh.run("down", "--data", str(mesh.data))
    with pytest.raises(Failed, match="there has been no mesh in"):
        mesh.run("down", "--data", str(mesh.folder / "other"))


def test_without_an_engine_it_says_so_in_one_sentence(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MLMESH_")}
    environ |= {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "XDG_CONFIG_HOME": str(tmp_path)}
    command = [str(MLMESH), "up", "--runtime", "docker", "--port", "0", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60.0)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"mlmesh: worker cannot start: no Docker Engine answers at unix://{tmp_path}/none.sock; "
        "is it running, and may you use it?\n"
    )
