"""Values of Secrets on a running mesh: whom a new value restarts, and that no log or error shows one."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from tests.e2e.application import ENDED, Application

VALUE = "open-sesame-4711"
ENCODED = base64.b64encode(VALUE.encode()).decode()
COMPONENT = """\
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {{name: {name}}}
spec:
  image: {{existingImageName: "mlmesh-test/python:1"}}
  envFrom: {sources}
  mlService: {{inference: "service:{function}"}}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {{name: {name}}}
spec:
  mlComponent: {{name: {name}}}
  restfulApi: {{path: {name}, auth: {{none: {{}}}}}}
---
"""
SOURCES = "[{secretRef: {name: keys}}]"
PIPELINE = """\
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: show}
spec:
  vars: [{name: report}]
  stages:
    - name: only
      image: {existingImageName: "mlmesh-test/python:1"}
      entryPoint: python3 -u stage.py
      envFrom: [{secretRef: {name: keys}}]
      outputs: [{name: report}]
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: show}
spec:
  experimentPipeline: {name: show}
  restfulApi: {path: show, auth: {none: {}}}
  apiSpec: {outputs: [{name: report}]}
"""
FILES = {
    "manifests/show.yml": PIPELINE,
    "stage.py": 'import os, sys\nprint("it is", os.environ["KEY"])\nsys.exit("refused: " + os.environ["KEY"])\n',
    "manifests/secret.yml": "apiVersion: mlmesh/v1\nkind: Secret\nmetadata: {name: keys}\nspec: {keys: [KEY]}\n",
    "manifests/keeper.yml": COMPONENT.format(name="keeper", sources=SOURCES, function="tell"),
    "manifests/other.yml": COMPONENT.format(name="other", sources="[]", function="echo"),
    "service.py": """\
import base64, os, sys

def tell(text: str) -> dict:
    value = os.environ["KEY"]
    print("plain", value)
    print("encoded", base64.b64encode(value.encode()).decode())
    for piece in ("parted ", value[:7], value[7:], "\\n"):
        sys.stdout.write(piece)
        sys.stdout.flush()
    print("that was", text, flush=True)
    return {"said": text}

def echo(text: str) -> dict:
    return {"said": text}
""",
    "broken.py": 'import os\nraise RuntimeError("no server takes " + os.environ["KEY"])\n',
}


@pytest.fixture(scope="module")
def application(embedded: Mesh, api: Api) -> Application:
    application = Application(embedded, api)
    application.push(FILES)
    application.attach(users=())
    embedded.run("secret", "set", application.name, "keys", "KEY", given=VALUE)
    assert application.settled()["status"] == "live"
    return application


def call(application: Application, name: str) -> int:
    body = {"inputs": [{"name": "text", "datatype": "str", "data": "all"}]}
    return application.call("POST", f"/{name}/predict", body).status


def count_processes(application: Application) -> tuple[int, int]:
    return len(application.processes("keeper")), len(application.processes("other"))


def test_a_component_that_prints_a_value_does_not_show_it_in_its_log(application: Application) -> None:
    application.eventually("keeper answers", lambda: call(application, "keeper") == 200)

    def read_log() -> str:
        log = application.mesh.run("component", "logs", application.name, "keeper")
        return log if "that was all" in log else ""

    log = application.eventually("its log is read", read_log)
    assert VALUE not in log
    assert ENCODED[:-2] not in log
    for line in (f"plain {'*' * len(VALUE)}", "encoded ***", f"parted {'*' * len(VALUE)}"):
        assert line in log, log


def test_a_stage_that_fails_with_a_value_shows_it_neither_in_its_log_nor_in_the_run(application: Application) -> None:
    submitted = application.call("POST", "/show/runs", {}, user="")
    assert submitted.status == 202, submitted.json()

    def find_ended() -> dict[str, Any] | None:
        run: dict[str, Any] = application.api.get(submitted.headers["Location"])
        return run if run["status"] in ENDED else None

    run = application.eventually("the run has ended", find_ended)
    log = application.mesh.run("run", "logs", application.name, run["id"])
    hidden = "*" * len(VALUE)
    assert (run["status"], run["reason"]["detail"]) == ("failed", f"refused: {hidden}"), run
    assert f"it is {hidden}" in log
    assert VALUE not in log + json.dumps(run) + application.mesh.log.read_text()


def test_an_error_of_a_deployment_does_not_show_a_value(application: Application) -> None:
    manifest = FILES["manifests/keeper.yml"].replace("service:tell", "broken:tell")
    deployment = application.deployed({"manifests/keeper.yml": manifest})
    application.deployed({"manifests/keeper.yml": FILES["manifests/keeper.yml"]})
    assert deployment["status"] == "failed"
    assert f"no server takes {'*' * len(VALUE)}" in json.dumps(deployment)
    assert VALUE not in json.dumps(deployment)
    assert VALUE not in application.mesh.log.read_text()


def test_a_new_value_restarts_only_who_uses_it(application: Application) -> None:
    application.eventually("the older instances are gone", lambda: count_processes(application) == (1, 1))
    keeper, other = application.processes("keeper"), application.processes("other")
    application.mesh.run("secret", "set", application.name, "keys", "KEY", given="another-value")
    application.eventually("keeper is another one", lambda: application.processes("keeper").isdisjoint(keeper))
    assert application.processes("other") == other
    assert call(application, "other") == 200
