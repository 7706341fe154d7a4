"""Runs that cannot be: what is submitted, and what is asked of a run, is refused with what to mend; nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from tests.e2e.application import ALICE, BOXES, PASSWORD, Application

BOB = f"bob:{PASSWORD}"
PIPELINE = """\
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: take}
spec:
  connectedBoxes: [results]
  vars: [{name: text}, {name: seconds}, {name: out}]
  stages:
    - name: take
      image: {existingImageName: "mlmesh-test/python:1"}
      entryPoint: python3 -u take.py
      inputs: [{name: text}, {name: seconds}]
      outputs: [{name: out}]
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: take}
spec:
  experimentPipeline: {name: take}
  restfulApi: {path: take, auth: {basic: {credentials: users}}}
  apiSpec:
    inputs:
      - {name: text, type: {datatypes: [FILE]}}
      - {name: seconds, required: false, type: {datatypes: [FP64]}}
    outputs: [{name: out}]
"""
TAKE = """\
import os, pathlib, time
given = os.environ.get("UNIP_PIPELINE_SECONDS")
print("taken", flush=True)
time.sleep(float(pathlib.Path(given).read_text()) if given else 0)
text = pathlib.Path(os.environ["UNIP_PIPELINE_TEXT"]).read_text()
(pathlib.Path(os.environ["UNIP_PIPELINE_OUT"]) / "out.txt").write_text(text.upper())
"""
FILES = {
    "manifests/boxes.yml": BOXES.replace("[alice]", "[alice, bob]"),
    "manifests/take.yml": PIPELINE,
    "take.py": TAKE,
}
GOOD = {"text": "in/a.txt"}


@pytest.fixture(scope="module")
def app(embedded: Mesh, api: Api) -> Application:
    application = Application(embedded, api)
    application.push(FILES)
    application.attach(users=("alice", "bob"))
    deployment = application.settled()
    assert deployment["status"] == "live", deployment["errors"]
    for user, name in ((ALICE, "a.txt"), (BOB, "bobs.txt")):
        stored = application.call("PUT", f"/files/results/in/{name}", b"some text", user=user)
        assert stored.status in (200, 201), stored.body
    return application


@pytest.fixture
def none_more(app: Application) -> Iterator[None]:
    before = runs(app)
    yield
    assert runs(app) == before


def runs(app: Application) -> list[str]:
    return [run["id"] for run in app.call("GET", "/runs?limit=1000").json()["items"]]


def submitted(app: Application, **inputs: Any) -> str:
    answer = app.call("POST", "/take/runs", {"inputs": {**GOOD, **inputs}})
    assert answer.status == 202, answer.body
    return str(answer.headers["Location"])


@pytest.mark.usefixtures("none_more")
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"inputs": {**GOOD, "txt": "x"}}, 422, "txt"),
        ({"inputs": {}}, 422, "text"),
        ({"inputs": {**GOOD, "seconds": "long"}}, 422, "seconds"),
        ({"inputs": {"text": "in/bobs.txt"}}, 422, "in/bobs.txt"),
        ({"inputs": {"text": "in/none.txt"}}, 422, "in/none.txt"),
        ({"inputs": {"text": "in/"}}, 422, "text"),
        ({"inputs": GOOD, "outputs": {"text": "x"}}, 422, "text"),
        ({"inputs": GOOD, "callback": {"url": "http://127.0.0.1/told"}}, 422, "127.0.0.1"),
        ({"inputs": GOOD, "callback": {"url": "http://[::1]/told"}}, 422, "::1"),
        ({"inputs": GOOD, "priority": 11}, 422, "priority"),
        ({"inputs": GOOD, "prio": 1}, 422, "prio"),
        ([], 422, "object"),
    ],
    ids=["unknown variable", "missing", "type", "another user's", "no file", "folder", "output", "callback",
         "callback 6", "priority", "field", "list"],
)  # fmt: skip
def test_a_submission_that_cannot_be_is_refused_and_makes_no_run(
    app: Application, body: Any, status: int, said: str
) -> None:
    answer = app.call("POST", "/take/runs", body)
    assert (answer.status, said in answer.body.decode()) == (status, True), answer.body


@pytest.mark.usefixtures("none_more")
def test_an_unknown_pipeline_is_404_and_a_body_over_the_limit_413(app: Application) -> None:
    assert app.call("POST", "/tale/runs", {"inputs": GOOD}).status == 404
    big = json.dumps({"inputs": {**GOOD, "seconds": "x" * 20_000_000}}).encode()
    assert app.call("POST", "/take/runs", big, headers={"Content-Type": "application/json"}).status == 413


def test_a_file_that_vanishes_before_the_start_fails_the_run_and_is_named(app: Application) -> None:
    assert app.call("PUT", "/files/results/in/short.txt", b"gone soon").status in (200, 201)
    busy = [submitted(app, seconds=2.0) for _ in range(4)]
    late = submitted(app, text="in/short.txt")
    assert app.call("DELETE", "/files/results/in/short.txt").status == 204
    ended = app.ended(late)
    assert (ended["status"], ended["reason"]["code"], ended["reason"]["stage"]) == ("failed", "input", "take"), ended
    assert "in/short.txt" in ended["reason"]["detail"], ended["reason"]
    assert [app.ended(place)["status"] for place in busy] == ["succeeded"] * 4


def test_in_an_output_folder_that_exists_same_names_are_written_again_and_others_stay(app: Application) -> None:
    assert app.call("PUT", "/files/results/kept/other.txt", b"other").status in (200, 201)
    assert app.call("PUT", "/files/results/kept/out.txt", b"old").status in (200, 201)
    answer = app.call("POST", "/take/runs", {"inputs": GOOD, "outputs": {"out": "kept"}})
    assert app.ended(answer.headers["Location"])["status"] == "succeeded"
    listed = app.call("GET", "/files/results/kept/").json()["items"]
    assert {one["name"]: one["size"] for one in listed} == {"other.txt": 5, "out.txt": 9}


def test_what_a_run_in_this_state_cannot_do_is_409(app: Application) -> None:
    place = submitted(app, seconds=3.0)
    path = place.removeprefix(f"/{app.name}")
    refused = app.call("POST", f"{path}/retry")
    assert (refused.status, "failed, canceled or expired" in refused.json()["detail"]) == (409, True), refused.body
    assert app.call("DELETE", path).status == 409
    assert app.ended(place)["status"] == "succeeded"
    refused = app.call("POST", f"{path}/cancel")
    assert (refused.status, refused.json()["detail"]) == (409, "cannot cancel: the run has already succeeded")


@pytest.mark.parametrize("cursor", ["x", "MTIz", "%00", "../..", "9" * 400])
def test_a_forged_cursor_is_400(app: Application, cursor: str) -> None:
    assert app.call("GET", f"/runs?cursor={cursor}").status == 400


@pytest.mark.parametrize(("asked", "status"), [("bytes=-0", 416), ("bytes=99999-", 416), ("bytes=--5", 200)])
def test_a_range_of_a_log_that_cannot_be_is_416_or_left_aside(app: Application, asked: str, status: int) -> None:
    place = submitted(app)
    app.ended(place)
    answer = app.call("GET", f"{place.removeprefix(f'/{app.name}')}/logs?stage=take", headers={"Range": asked})
    assert answer.status == status, answer.body


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PIPELINE.replace("  stages:\n", "  schedule: {cron: '0 0 30 2 *'}\n  stages:\n"), "bad day-of-month"),
        (
            PIPELINE.replace(
                "---\n",
                "".join(
                    f"    - {{name: s{n}, image: {{existingImageName: i}}, inputs: [{{name: text}}]}}\n"
                    for n in range(1001)
                )
                + "---\n",
            ),
            "at most 1000",
        ),
    ],
    ids=["cron", "stages"],
)
def test_a_pipeline_that_cannot_be_is_not_deployed_and_the_old_one_stays(
    app: Application, text: str, said: str
) -> None:
    deployment = app.deployed({"manifests/take.yml": text})
    assert (deployment["status"], said in str(deployment["errors"])) == ("failed", True), deployment
    assert app.ended(submitted(app))["status"] == "succeeded"
    assert app.deployed({"manifests/take.yml": PIPELINE})["status"] == "live"
