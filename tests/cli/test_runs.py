from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_mesh import FakeMesh, Reply

PATH = "/api/v1/apps/a/runs/r1"
RUN: dict[str, Any] = {
    "id": "r1",
    "pipeline": "train",
    "status": "running",
    "reason": None,
    "stages": [],
    "outputs": {"model": "m/x/"},
}
STAGE = {"name": "fit", "status": "running", "progress": [3, 10], "reason": None}


def test_a_run_is_started_with_values_and_folders(run: Run, mesh: FakeMesh) -> None:
    mesh.answers("POST", "/a/training/runs", Reply(202, {**RUN, "status": "queued"}))
    words = ["--input", 'options={"a": 1}', "--input", "image=box/g/a.png", "--output", "model=m/x/"]
    done = run("run", "start", "a", "training", *words)
    assert (done.code, done.out) == (0, "run r1  train  queued\n")
    assert mesh.asked[0].json() == {
        "inputs": {"options": {"a": 1}, "image": "box/g/a.png"}, "outputs": {"model": "m/x/"},
    }  # fmt: skip


def test_watching_asks_for_changes_until_the_end(run: Run, mesh: FakeMesh) -> None:
    first = Reply(200, {**RUN, "stages": [STAGE]}, {"ETag": '"1"'})
    mesh.answers("GET", PATH, RUN, first, Reply(304), Reply(200, {**RUN, "status": "succeeded"}, {"ETag": '"2"'}))
    done = run("run", "watch", "a", "r1")
    assert (done.code, done.out, done.err) == (0, "run r1  train  succeeded\n", "")
    assert [asked.headers.get("if-none-match") for asked in mesh.asked] == [None, None, '"1"', '"1"']
    assert mesh.asked[2].headers["prefer"] == "wait=20"


@pytest.mark.parametrize("status", ["failed", "canceled", "expired"])
def test_a_run_that_does_not_succeed_is_exit_code_1(run: Run, mesh: FakeMesh, status: str) -> None:
    reason = {"code": "error", "detail": "fit", "exit_code": 3}
    mesh.answers("GET", PATH, {**RUN, "status": status, "reason": reason})
    done = run("run", "watch", "a", "r1")
    assert done.code == 1
    assert done.out == f"run r1  train  {status}  error: fit (exit code 3)\n"
    assert done.err == f"mlmesh: run r1 {status}; see: mlmesh run logs a r1\n"


def test_a_run_is_shown_with_its_stages(run: Run, mesh: FakeMesh) -> None:
    waiting = {"name": "report", "status": "waiting", "progress": None, "reason": {"code": "inputs", "detail": "model"}}
    mesh.answers("GET", PATH, {**RUN, "stages": [STAGE, waiting]})
    assert run("run", "show", "a", "r1").out.splitlines() == [
        "run r1  train  running",
        "  fit              running    ━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌ 3/10",
        "  report           waiting    inputs: model",
    ]


def test_json_has_exactly_what_the_mesh_said(run: Run, mesh: FakeMesh) -> None:
    ended = {**RUN, "status": "succeeded"}
    mesh.answers("GET", PATH, RUN, Reply(200, ended, {"ETag": '"2"'}))
    assert json.loads(run("run", "watch", "a", "r1", "--json").out) == ended


def test_logs_of_one_stage_are_printed_as_they_are(run: Run, mesh: FakeMesh) -> None:
    mesh.answers("GET", f"{PATH}/logs", Reply(200, "höhe\nzwei".encode(), {"Content-Type": "text/plain"}))
    assert run("run", "logs", "a", "r1", "--stage", "fit").out == "höhe\nzwei"
    assert mesh.asked[0].query == {"stage": "fit"}


def test_followed_logs_arrive_as_events(run: Run, mesh: FakeMesh) -> None:
    mesh.answers("GET", f"{PATH}/logs", Reply(200, b"id: a:1:0\ndata: one\n\n", {"Content-Type": "text/event-stream"}))
    assert run("run", "logs", "a", "r1", "--follow").out == "one\n"
    assert mesh.asked[0].query == {"follow": "1"}


def test_outputs_of_every_variable_are_listed(run: Run, mesh: FakeMesh) -> None:
    mesh.answers("GET", PATH, RUN)
    mesh.answers(
        "GET",
        f"{PATH}/outputs/model",
        {"items": [{"name": "model.joblib", "size": 1200, "modified": "t"}], "next": None},
    )
    lines = [line.split() for line in run("run", "outputs", "a", "r1").out.splitlines()]
    assert lines == [["VARIABLE", "NAME", "SIZE", "MODIFIED"], ["model", "model.joblib", "1.2", "kB", "t"]]


def test_a_run_is_canceled_and_retried(run: Run, mesh: FakeMesh) -> None:
    mesh.answers("POST", f"{PATH}/cancel", Reply(202, {**RUN, "status": "canceling"}))
    mesh.answers("POST", f"{PATH}/retry", Reply(202, {**RUN, "status": "queued", "attempt": 2}))
    assert run("run", "cancel", "a", "r1").out == "run r1 is canceling\n"
    assert run("run", "retry", "a", "r1").out == "run r1 is queued, attempt 2\n"
