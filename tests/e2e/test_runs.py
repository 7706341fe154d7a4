"""Runs of all kinds from the outside, on processes and on containers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from deploy.demo.api import Api
from tests.e2e.application import BOXES, Application
from tests.e2e.processes import Processes
from tests.servers.fleet import Fleet
from tests.servers.images import module_image

IMAGE = "mlmesh-test/runs:1"
DOCKERFILE = "ARG BASE\nFROM ${BASE}\nWORKDIR /module\nCOPY . .\nUSER 1000\n"
PIPELINES = f"""\
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {{name: train}}
spec:
  connectedBoxes: [results]
  vars: [{{name: text}}, {{name: model}}]
  stages:
    - name: fit
      image: {{existingImageName: "{IMAGE}"}}
      entryPoint: python3 -u stages.py fit
      inputs: [{{name: text}}]
      outputs: [{{name: model}}]
      cache: true
  continueWith: {{experimentPipeline: {{name: score}}, vars: {{weights: model}}}}
  schedule: {{cron: "0 6 * * *", timezone: Europe/Berlin, inputs: {{text: texts/a.txt}}}}
---
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {{name: score}}
spec:
  connectedBoxes: [results]
  vars: [{{name: weights}}, {{name: text}}, {{name: marks}}]
  stages:
    - name: mark
      image: {{existingImageName: "{IMAGE}"}}
      entryPoint: python3 -u stages.py mark
      inputs: [{{name: weights}}, {{name: text}}]
      outputs: [{{name: marks}}]
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {{name: train}}
spec:
  experimentPipeline: {{name: train}}
  restfulApi: {{path: train, auth: {{basic: {{credentials: users}}}}}}
  apiSpec:
    inputs: [{{name: text, type: {{datatypes: [str]}}}}]
    outputs: [{{name: marks}}]
"""
STAGES = """\
import os, pathlib, sys, uuid

def variable(name):
    return pathlib.Path(os.environ["UNIP_PIPELINE_" + name])

text = variable("TEXT").read_text()
print("stage", sys.argv[1], "reads", text, flush=True)
if sys.argv[1] == "fit":
    if text == "break":
        sys.exit(7)
    (variable("MODEL") / "model.txt").write_text(uuid.uuid4().hex)
else:
    if text == "late":
        sys.exit(8)
    (variable("MARKS") / "marks.txt").write_text((variable("WEIGHTS") / "model.txt").read_text() + " " + text)
"""
FILES = {
    "manifests/boxes.yml": BOXES,
    "manifests/pipelines.yml": PIPELINES,
    "stages.py": STAGES,
    "Dockerfile": DOCKERFILE,
}
WAIT = {"Prefer": "wait=60"}


@pytest.fixture(scope="module")
def app(deployment: Processes, fleet: Fleet) -> Iterator[Application]:
    with closing(Api(deployment.url, deployment.token)) as api:
        app = Application(deployment, api)
        app.write(FILES)
        if deployment.contained:
            module_image(fleet.docker, IMAGE, app.repository.working)
        app.start(FILES)
        yield app


def ran(app: Application, text: str, **body: Any) -> dict[str, Any]:
    """A run that has ended."""
    with closing(Api(app.mesh.url, "")) as own:
        answer = app.call("POST", "/train/runs", {"inputs": {"text": text}, **body}, api=own, headers=WAIT)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


def marks(app: Application, run: dict[str, Any]) -> str:
    path = f"/files/results/runs/{run['id']}/marks/marks.txt?download=1"
    return app.call("GET", path).body.decode()


def test_a_chain_ends_with_the_outputs_of_its_last_run(app: Application) -> None:
    run = ran(app, "one")
    assert [(one["pipeline"], one["status"]) for one in run["chain"]] == [
        ("train", "succeeded"),
        ("score", "succeeded"),
    ]
    assert marks(app, run).endswith(" one")
    (file,) = app.call("GET", f"/runs/{run['id']}/outputs/marks").json()["items"]
    assert file["name"] == "marks.txt"
    second = run["chain"][1]["id"]
    assert app.call("GET", f"/runs/{second}/logs").body == b"stage mark reads one\n"


def test_a_chain_that_broke_goes_on_where_it_broke(app: Application) -> None:
    run = ran(app, "late")
    assert (run["status"], run["reason"]["exit_code"], run["reason"]["pipeline"]) == ("failed", 8, "score")
    second = run["chain"][1]["id"]
    assert app.call("POST", f"/runs/{second}/retry").status == 202
    again = app.call("GET", f"/runs/{run['id']}", headers=WAIT).json()
    assert (again["status"], again["attempt"], again["chain"][1]["id"]) == ("failed", 1, second)


def test_what_was_made_once_is_taken_from_there(app: Application) -> None:
    first, second = ran(app, "same"), ran(app, "same")
    assert second["stages"][0]["reused"]["run"] == first["id"]
    assert marks(app, second) == marks(app, first)
    fresh = ran(app, "same", cache="refresh")
    assert (fresh["stages"][0]["reused"], marks(app, fresh) != marks(app, first)) == (None, True)
    assert ran(app, "same")["stages"][0]["reused"]["run"] == fresh["id"]


def test_a_removed_run_takes_its_files_along(app: Application) -> None:
    run = ran(app, "gone")
    assert app.call("DELETE", f"/runs/{run['id']}?files=true").status == 204
    assert app.call("GET", f"/runs/{run['id']}").status == 410
    app.eventually("its files are gone", lambda: marks(app, run).startswith("{"))


def test_changes_of_a_run_are_events(app: Application) -> None:
    run = app.call("POST", "/train/runs", {"inputs": {"text": "events"}}).json()
    events = app.call("GET", f"/runs/{run['id']}/events").body.decode().strip().split("\n\n")
    last = json.loads(events[-1].rpartition("data: ")[2])
    assert (last["id"], last["status"]) == (run["id"], "succeeded")


def test_a_schedule_is_shown_paused_and_resumed(app: Application) -> None:
    (found,) = app.api.get(f"{app.path}/schedules")["items"]
    assert (found["pipeline"], found["cron"], found["problem"]) == ("train", "0 6 * * *", None)
    assert "train is paused" in app.mesh.run("schedule", "pause", app.name, "train")
    assert app.api.get(f"{app.path}/schedules")["items"][0]["paused"]
    assert "starts next at" in app.mesh.run("schedule", "resume", app.name, "train")


def test_a_callback_to_this_host_is_refused(app: Application) -> None:
    body = {"inputs": {"text": "x"}, "callback": {"url": "http://127.0.0.1:9/"}}
    answer = app.call("POST", "/train/runs", body)
    assert (answer.status, answer.json()["errors"][0]["input"]) == (422, "callback")


def test_many_runs_at_once_all_end_as_they_must(app: Application) -> None:
    texts = ["break" if number % 4 == 3 else f"text {number}" for number in range(12)]
    with ThreadPoolExecutor(12) as callers:
        runs = list(callers.map(lambda text: ran(app, text), texts))
    for text, run in zip(texts, runs, strict=True):
        wanted = ("failed", 7) if text == "break" else ("succeeded", None)
        assert (run["status"], (run["reason"] or {}).get("exit_code")) == wanted
        if text != "break":
            assert marks(app, run).endswith(f" {text}")


def test_a_part_of_a_log_is_had_by_its_range(app: Application) -> None:
    path = f"/runs/{ran(app, 'range')['id']}/logs?stage=fit"
    whole = app.call("GET", path).body
    assert whole == b"stage fit reads range\n"
    answer = app.call("GET", path, headers={"Range": "bytes=6-8"})
    assert (answer.status, answer.body) == (206, b"fit")
    assert answer.headers["Content-Range"] == f"bytes 6-8/{len(whole)}"
    assert app.call("GET", path, headers={"Range": "bytes=-6"}).body == b"range\n"
    assert app.call("GET", path, headers={"Range": "bytes=500-"}).status == 416
    assert app.call("GET", path, headers={"Range": "bytes=-5--1"}).body == whole
    assert app.call("GET", f"{path}&attempt=1").body == whole
    assert app.call("GET", f"{path}&attempt=2").status == 404
