"""Images on a Docker Engine: a tag means what it meant at the deployment, for components, stages and rollbacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from deploy.demo.api import Api
from tests.e2e.application import BOXES, Application
from tests.e2e.test_docker_up import DockerMesh
from tests.servers.engine import Engine
from tests.servers.images import module_image

TAG = "mlmesh-test/moving:1"
VERSIONS = {"one": "mlmesh-test/moving:one", "two": "mlmesh-test/moving:two"}
DOCKERFILE = "ARG BASE\nFROM ${BASE}\nWORKDIR /module\nCOPY which.py .\nENV VERSION="
FUNCTION = 'import os\n\n\ndef version() -> dict:\n    return {"is": os.environ["VERSION"]}\n'
MANIFESTS = f"""\
---
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {{name: which}}
spec:
  image: {{existingImageName: "{TAG}"}}
  mlService: {{inference: "which:version"}}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {{name: which}}
spec: {{mlComponent: {{name: which}}, restfulApi: {{path: which, auth: {{basic: {{credentials: users}}}}}}}}
---
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {{name: copy}}
spec:
  vars: [{{name: second}}]
  stages:
    - name: note
      image: {{existingImageName: "{TAG}"}}
      entryPoint: [sh, -c, 'printf "$VERSION" > "$UNIP_PIPELINE_SECOND/version"']
      outputs: [{{name: second}}]
  connectedBoxes: [{{name: results}}]
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {{name: copy}}
spec:
  experimentPipeline: {{name: copy}}
  restfulApi: {{path: copy, auth: {{basic: {{credentials: users}}}}}}
  apiSpec: {{outputs: [{{name: second}}]}}
"""


@pytest.fixture
def mesh(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerMesh]:
    mesh = DockerMesh(tmp_path_factory.mktemp("mesh"), docker_engine)
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()
        docker_engine.clear(mesh.installation)
        docker_engine.run("rmi", "--force", TAG, *VERSIONS.values())


@pytest.fixture
def app(mesh: DockerMesh, docker_engine: Engine) -> Iterator[Application]:
    with closing(Api(mesh.url, mesh.token)) as api:
        app = Application(mesh, api)
        for version, image in VERSIONS.items():
            app.write({"which.py": FUNCTION, "Dockerfile": f"{DOCKERFILE}{version}\n"})
            module_image(docker_engine, image, app.repository.working)
        yield app


def test_a_tag_means_what_it_meant_at_the_deployment(app: Application, mesh: DockerMesh, docker_engine: Engine) -> None:
    docker_engine.run("tag", VERSIONS["one"], TAG)
    app.start({"manifests/all.yml": BOXES + MANIFESTS})
    first = app.settled()
    assert step(first, "images") == f"{TAG} is {short_id(docker_engine, VERSIONS['one'])}"
    assert versions(app) == ("one", "one")

    docker_engine.run("tag", VERSIONS["two"], TAG)
    docker_engine.run("kill", *docker_engine.containers(mesh.installation))
    assert versions(app) == ("one", "one"), "a restart and a run are no deployments"

    app.api.send("POST", f"{app.path}/sync", expect=(202,))
    second = app.eventually("the second deployment is live", lambda: other_live(app, first))
    assert step(second, "images") == f"{TAG} is {short_id(docker_engine, VERSIONS['two'])}"
    assert versions(app) == ("two", "two")

    app.api.send("POST", f"{app.path}/rollback", {"deployment": first["id"]}, expect=(202,))
    third = app.eventually("the rollback is live", lambda: other_live(app, second))
    assert step(third, "images") == step(first, "images")
    assert versions(app) == ("one", "one")


def step(deployment: dict[str, Any], name: str) -> str:
    (detail,) = (str(step["detail"]) for step in deployment["steps"] if step["name"] == name)
    return detail


def short_id(engine: Engine, image: str) -> str:
    return engine.run("image", "inspect", "--format", "{{.Id}}", image)[: len("sha256:") + 12]


def other_live(app: Application, old: dict[str, Any]) -> dict[str, Any] | None:
    settled = app.settled()
    assert settled["status"] == "live", settled
    return None if settled["id"] == old["id"] else settled


def versions(app: Application) -> tuple[str, str]:
    """Of the component and of a stage."""

    def look() -> str | None:
        answer = app.call("POST", "/which/predict", {"inputs": []})
        return answer.json()["outputs"][0]["data"] if answer.status == 200 else None

    component = app.eventually("the component answers", look)
    place = app.call("POST", "/copy/runs", {"outputs": {}}).headers["Location"]
    run = app.ended(place)
    assert run["status"] == "succeeded", run
    return component, app.outputs(place)["version"].decode()
