from __future__ import annotations

import json
from pathlib import Path
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
STAGE = {"name": "fit", "status": "running", "progress": [3.0, 10.0], "reason": None}


def test_a_run_is_started_with_values_and_folders(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", "/a/training/runs", Reply(202, {**RUN, "status": "queued"}))
    words = ["--input", 'options={"a": 1}', "--input", "image=box/g/a.png", "--output", "model=m/x/"]
    done = run("run", "start", "a", "training", *words)
    assert (done.code, done.out) == (0, "run r1  train  queued\n")
    assert mesh.requests[0].json() == {
        "inputs": {"options": {"a": 1}, "image": "box/g/a.png"}, "outputs": {"model": "m/x/"},
    }  # fmt: skip


def test_watching_asks_for_changes_until_the_end(run: Run, mesh: FakeMesh) -> None:
    first = Reply(200, {**RUN, "stages": [STAGE]}, {"ETag": '"1"'})
    mesh.set_replies("GET", PATH, RUN, first, Reply(304), Reply(200, {**RUN, "status": "succeeded"}, {"ETag": '"2"'}))
    done = run("run", "watch", "a", "r1")
    assert (done.code, done.out.splitlines()[0]) == (0, "run r1  train  succeeded")
    assert done.err.splitlines() == ["run r1  train  running", "  fit              running"]
    assert [request.headers.get("if-none-match") for request in mesh.requests] == [None, None, '"1"', '"1"']
    assert mesh.requests[2].headers["prefer"] == "wait=20"


@pytest.mark.parametrize("status", ["failed", "canceled", "expired"])
def test_a_run_that_does_not_succeed_is_exit_code_1(run: Run, mesh: FakeMesh, status: str) -> None:
    reason = {"code": "error", "detail": "fit", "exit_code": 3}
    mesh.set_replies("GET", PATH, {**RUN, "status": status, "reason": reason})
    done = run("run", "watch", "a", "r1")
    assert done.code == 1
    assert done.out.splitlines()[0] == f"run r1  train  {status}  error: fit (exit code 3)"
    assert done.err == f"mlmesh: run r1 {status}; see: mlmesh run logs a r1\n"


def test_a_run_is_shown_with_its_stages(run: Run, mesh: FakeMesh) -> None:
    waiting = {"name": "report", "status": "waiting", "progress": None, "reason": {"code": "inputs", "detail": "model"}}
    mesh.set_replies("GET", PATH, {**RUN, "stages": [STAGE, waiting]})
    assert run("run", "show", "a", "r1").out.splitlines() == [
        "run r1  train  running",
        "  fit              running    ━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌ 3/10",
        "  report           waiting    inputs: model",
        "  output model = m/x/",
    ]


def test_json_has_exactly_what_the_mesh_said(run: Run, mesh: FakeMesh) -> None:
    ended = {**RUN, "status": "succeeded"}
    mesh.set_replies("GET", PATH, RUN, Reply(200, ended, {"ETag": '"2"'}))
    assert json.loads(run("run", "watch", "a", "r1", "--json").out) == ended


def test_logs_of_one_stage_are_printed_as_they_are(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("GET", f"{PATH}/logs", Reply(200, "höhe\nzwei".encode(), {"Content-Type": "text/plain"}))
    assert run("run", "logs", "a", "r1", "--stage", "fit").out == "höhe\nzwei"
    assert mesh.requests[0].query == {"stage": "fit"}


def test_followed_logs_arrive_as_events(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies(
        "GET", f"{PATH}/logs", Reply(200, b"id: a:1:0\ndata: one\n\n", {"Content-Type": "text/event-stream"})
    )
    assert run("run", "logs", "a", "r1", "--follow").out == "one\n"
    assert mesh.requests[0].query == {"follow": "1"}


def test_outputs_of_every_variable_are_listed(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("GET", PATH, RUN)
    mesh.set_replies(
        "GET",
        f"{PATH}/outputs/model",
        {"items": [{"name": "model.joblib", "size": 1200, "modified": "t"}], "next": None},
    )
    lines = [line.split() for line in run("run", "outputs", "a", "r1").out.splitlines()]
    assert lines == [["VARIABLE", "NAME", "SIZE", "MODIFIED"], ["model", "model.joblib", "1.2", "kB", "t"]]


def test_a_run_is_canceled_and_retried(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", f"{PATH}/cancel", Reply(202, {**RUN, "status": "canceling"}))
    mesh.set_replies("POST", f"{PATH}/retry", Reply(202, {**RUN, "status": "queued", "attempt": 2}))
    assert run("run", "cancel", "a", "r1").out == "run r1 is canceling\n"
    assert run("run", "retry", "a", "r1").out == "run r1 is queued, attempt 2\n"


def test_a_whole_run_is_shown(run: Run, mesh: FakeMesh) -> None:
    chain = [
        {"id": "r1", "pipeline": "train", "status": "succeeded"},
        {"id": "r2", "pipeline": "score", "status": "running"},
        {"id": None, "pipeline": "tell", "status": "waiting"},
    ]
    failed = {**STAGE, "status": "failed", "reason": {"code": "oom"}, "log_tail": ["one", "two"]}
    mesh.set_replies("GET", PATH, {
        **RUN, "user": "alice", "attempt": 2, "stages": [failed], "chain": chain, "inputs": {"text": "in/a", "top": 5},
        "created_at": "2026-11-28T23:56:01.470Z", "started_at": "2026-11-28T23:56:02Z",
        "finished_at": "2026-11-28T23:59:02.000Z",
    })  # fmt: skip
    assert run("run", "show", "a", "r1").out.splitlines() == [
        "run r1  train  running",
        "  created 2026-11-28 23:56:01 UTC, took 3 min, attempt 2, by alice",
        "  fit              failed     oom",
        "    | one",
        "    | two",
        "  then score       running    r2",
        "  then tell        waiting",
        "  input  text = in/a",
        "  input  top = 5",
        "  output model = m/x/",
    ]


@pytest.mark.parametrize(
    ("reason", "lines"), [({"error": "ValueError: no such digit"}, ["  raised ValueError: no such digit"]), ({}, [])]
)
def test_the_error_of_a_function_is_shown_if_the_mesh_sends_it(
    run: Run, mesh: FakeMesh, reason: dict[str, str], lines: list[str]
) -> None:
    why = {"code": "error", "detail": "The function raised.", "error_id": "e1", **reason}
    mesh.set_replies("GET", PATH, {**RUN, "status": "failed", "reason": why})
    assert [line for line in run("run", "show", "a", "r1").out.splitlines() if line.startswith("  raised")] == lines


@pytest.mark.parametrize(
    "words",
    ["list a", "show a r1", "watch a r1", "logs a r1", "cancel a r1", "retry a r1", "delete a r1", "outputs a r1 m"],
)
def test_a_caller_follows_runs_with_a_key(run: Run, mesh: FakeMesh, words: str) -> None:
    """A caller's key is rejected on the owner's path and accepted on the caller's."""
    refused = Reply(401, {"detail": "no credentials"})
    ended = {**RUN, "status": "succeeded", "attempt": 2}
    tails = ["", "/r1", "/r1/logs", "/r1/cancel", "/r1/retry", "/r1/outputs/m"]
    for tail in tails:
        for method in ("GET", "POST", "DELETE"):
            mesh.set_replies(method, f"/api/v1/apps/a/runs{tail}", refused)
            body = {"items": [] if tail else [ended], "next": None} if tail in ("", "/r1/outputs/m") else ended
            mesh.set_replies(method, f"/a/runs{tail}", body)
    done = run("run", *words.split())
    assert (done.code, done.err) == (0, "")
    assert [request.path.startswith("/a/runs") for request in mesh.requests] == [False, True]


def test_waiting_with_a_callers_key_polls_one_path(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", "/a/training/runs", Reply(202, {**RUN, "status": "queued"}))
    mesh.set_replies("GET", PATH, Reply(401, {"detail": "no credentials"}))
    mesh.set_replies("GET", "/a/runs/r1", RUN, {**RUN, "status": "succeeded"})
    assert run("run", "start", "a", "training", "--wait").code == 0
    assert [request.path for request in mesh.requests] == ["/a/training/runs", PATH, "/a/runs/r1", "/a/runs/r1"]


def test_ctrl_c_leaves_the_run_and_says_how_to_go_on(run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.set_replies("GET", PATH, RUN)

    def raise_interrupt(*_args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("services.cli.runs._wait_for_change", raise_interrupt)
    done = run("run", "watch", "a", "r1")
    assert (done.code, done.out.splitlines()[0]) == (130, "run r1  train  running")
    assert "the run goes on; watch it again: mlmesh run watch a r1; end it: mlmesh run cancel a r1\n" in done.err


REFUSED = Reply(422, {"detail": "no", "errors": [{"input": "text", "message": "must be <group>/<file>"}]})


@pytest.mark.parametrize(
    ("typed", "displayed"),
    [
        ("{home}/x.txt", "{home}/x.txt"), ("./x.txt", "x.txt"), ("x.txt", "x.txt"), ("d/y.txt", "d/y.txt"),
        ("@x.txt", "x.txt"), ("~/x.txt", "{home}/x.txt"), ("a b.txt", "'a b.txt'"),
    ],
)  # fmt: skip
def test_a_local_file_as_input_fails_with_the_commands_to_type(
    run: Run, mesh: FakeMesh, home: Path, monkeypatch: pytest.MonkeyPatch, typed: str, displayed: str
) -> None:
    (home / "d").mkdir()
    for name in ("x.txt", "d/y.txt", "a b.txt"):
        (home / name).touch()
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    mesh.set_replies("POST", "/a/words/runs", REFUSED)
    mesh.set_replies("GET", "/api/v1/apps/a", {"boxes": [{"name": "texts"}, {"name": "old", "detached": True}]})
    done = run("run", "start", "a", "words", "--input", f"text={typed.format(home=home)}")
    file = typed.format(home=home).removeprefix("@")
    name = Path(file).name
    place = f"texts/inputs/{name}" if " " not in name else f"'texts/inputs/{name}'"
    argument = f"text=texts/inputs/{name}" if " " not in name else f"'text=texts/inputs/{name}'"
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"mlmesh: text: {file} is a file of this machine, and a run reads files of boxes; type: "
        f"mlmesh box put a {displayed.format(home=home)} {place}; then: mlmesh run start a words --input {argument}\n"
    )


def test_the_advice_names_the_boxes_that_the_caller_may_read(run: Run, mesh: FakeMesh, home: Path) -> None:
    (home / "x.txt").touch()
    done = run("run", "start", "a", "words", "--input", f"text={home}/x.txt", "--input", f"more={home}/x.txt")
    assert f"mlmesh box put a {home}/x.txt BOX/inputs/x.txt; mlmesh box put" in done.err
    assert done.err.endswith("--input text=BOX/inputs/x.txt --input more=BOX/inputs/x.txt\n")
    mesh.set_replies("GET", "/api/v1/apps/a", {"boxes": [{"name": "texts"}, {"name": "more"}]})
    assert run("run", "start", "a", "words", "--input", f"text={home}/x.txt").err.endswith(
        "BOX is one of: texts, more\n"
    )


@pytest.mark.parametrize("typed", ["texts/in/x.txt", "x.txt", "\0", "~nobody-here/x", "x" * 5000])
def test_another_refusal_of_an_input_stays_as_it_is(run: Run, mesh: FakeMesh, typed: str) -> None:
    mesh.set_replies("POST", "/a/words/runs", REFUSED)
    done = run("run", "start", "a", "words", "--input", f"text={typed}")
    assert (done.code, done.err) == (1, "mlmesh: no\n  text: must be <group>/<file>\n")


def test_a_text_that_is_called_like_a_file_is_an_input(
    run: Run, mesh: FakeMesh, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "README").touch()
    monkeypatch.chdir(home)
    mesh.set_replies("POST", "/a/words/runs", RUN)
    assert run("run", "start", "a", "words", "--input", "text=README").code == 0
    assert mesh.requests[0].json()["inputs"] == {"text": "README"}
