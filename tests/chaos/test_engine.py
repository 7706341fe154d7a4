"""The Docker Engine goes away under a stage: what it takes with it runs again, what it leaves goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from deploy.demo.api import Api
from tests.chaos.conftest import running
from tests.e2e.application import BOXES, Application
from tests.servers.engine import Engine
from tests.servers.fleet import Fleet
from tests.servers.images import PYTHON_IMAGE, python_image

PIPELINE = """\
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: slow}
spec:
  connectedBoxes: [results]
  vars: [{name: out}]
  stages:
    - name: slow
      image: {existingImageName: "mlmesh-test/python:1"}
      entryPoint: python3 -c "import os, time; time.sleep(5); open(os.environ['UNIP_PIPELINE_OUT'] + '/out', 'w').write('whole')"
      outputs: [{name: out}]
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: slow}
spec:
  experimentPipeline: {name: slow}
  restfulApi: {path: slow, auth: {basic: {credentials: users}}}
  apiSpec: {outputs: [{name: out}]}
"""  # noqa: E501  a command in one line
FILES = {"manifests/boxes.yml": BOXES, "manifests/slow.yml": PIPELINE}
FREEZE_S = 6.0
"""Longer than the worker's lease."""


@pytest.fixture(scope="module")
def engine(fleet: Fleet) -> Iterator[Engine]:
    assert python_image(fleet.own_docker) == PYTHON_IMAGE
    yield fleet.own_docker
    fleet.own_docker.start()


@pytest.fixture(scope="module")
def contained(tmp_path_factory: pytest.TempPathFactory, fleet: Fleet, engine: Engine) -> Iterator[Application]:
    runtime = engine.runtime
    folder = tmp_path_factory.mktemp("mesh")
    with running(folder, fleet, runtime) as mesh, closing(Api(mesh.url, mesh.token)) as api:
        app = Application(mesh, api)
        app.start(FILES)
        yield app


def killed(engine: Engine) -> None:
    engine.kill()
    engine.start()


def restarted(engine: Engine) -> None:
    engine.stop()
    engine.start()


def frozen(engine: Engine) -> None:
    engine.pause()
    time.sleep(FREEZE_S)
    engine.resume()


@pytest.mark.parametrize(("fault", "attempts"), [(killed, 2), (restarted, 2), (frozen, 1)])
def test_a_stage_outlives_its_engine(
    contained: Application, engine: Engine, fault: Callable[[Engine], None], attempts: int
) -> None:
    place = contained.call("POST", "/slow/runs", {}).headers["Location"]
    path = place.removeprefix(f"/{contained.name}")

    def runs() -> bool:
        stage = contained.call("GET", path).json()["stages"][0]
        return bool(stage["status"] == "running" and stage["phase"] == "running")

    contained.eventually("the stage runs", runs)
    fault(engine)
    ended = contained.ended(place)
    assert ended["status"] == "succeeded", ended
    assert ended["stages"][0]["attempt"] == attempts, ended
    assert contained.outputs(place, "out") == {"out": b"whole"}
