from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import CommandResult, Run
from tests.cli.fake_mesh import FakeMesh, Reply

ANSWER = {"outputs": [{"name": "digit", "datatype": "INT64", "shape": [1], "data": [3]}]}
IMAGE = {"properties": {"name": {"const": "image"}, "datatype": {"enum": ["FP32", "FP64"]}}}


def test_inputs_get_the_datatypes_that_the_function_declares(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("GET", "/a/digits/openapi.json", {"components": {"schemas": {"Image": IMAGE}}})
    mesh.set_replies("POST", "/a/digits/predict", ANSWER)
    assert json.loads(run("predict", "a", "digits", "--input", "image=[1, 2]", "--input", "top=3").out) == ANSWER
    assert mesh.requests[1].json() == {
        "inputs": [
            {"name": "image", "datatype": "FP32", "shape": [2], "data": [1, 2]},
            {"name": "top", "datatype": "INT64", "shape": [1], "data": [3]},
        ]
    }


def test_a_function_without_description_is_called_all_the_same(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", "/a/digits/predict", ANSWER)
    assert run("predict", "a", "digits", "--input", "text=hello").code == 0
    assert mesh.requests[1].json() == {"inputs": [{"name": "text", "datatype": "str", "data": "hello"}]}


def test_a_whole_request_can_come_from_a_file(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"inputs": []}')
    mesh.set_replies("POST", "/a/digits/predict", ANSWER)
    assert run("predict", "a", "digits", "--json", str(tmp_path / "x.json")).code == 0
    assert mesh.requests[0].json() == {"inputs": []}


def test_a_streamed_response_is_one_line_per_piece_and_its_error_the_last(run: Run, mesh: FakeMesh) -> None:
    lines = [json.dumps(ANSWER), json.dumps({"status": 500, "title": "x", "detail": "it broke"})]
    reply = Reply(200, "".join(line + "\n" for line in lines).encode(), {"Content-Type": "application/x-ndjson"})
    mesh.set_replies("POST", "/a/digits/predict", reply)
    done = run("predict", "a", "digits", "--input", "text=hello")
    assert (done.code, done.out, done.err) == (1, lines[0] + "\n", "mlmesh: it broke\n")


def test_a_wrong_input_is_named(run: Run, mesh: FakeMesh) -> None:
    problem = {"detail": "the inputs do not fit", "errors": [{"input": "image", "message": "missing"}]}
    mesh.set_replies("POST", "/a/digits/predict", Reply(422, problem))
    done = run("predict", "a", "digits", "--input", "x=1")
    assert (done.code, done.err) == (1, "mlmesh: the inputs do not fit\n  image: missing\n")


def starting(code: str) -> Reply:
    body = {"detail": "no instance of f can take this at the moment", "reason": {"code": code, "detail": "soon"}}
    return Reply(503, body, {"Retry-After": "0"})


def test_predict_waits_for_a_starting_function_and_notes_it(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies(
        "POST", "/a/f/predict", starting("model_missing"), starting("starting"), starting("starting"), ANSWER
    )
    done = run("predict", "a", "f")
    assert (done.code, json.loads(done.out)) == (0, ANSWER)
    assert done.err == "waiting for a: model_missing: soon\nwaiting for a: starting: soon\n"
    assert len(mesh.requests) == 4


DESCRIPTION = {"components": {"schemas": {"Image": IMAGE}}}


@pytest.mark.parametrize(
    "first", [starting("starting"), Reply(422, {"detail": "datatype must be FP32"})], ids=["waited for", "held"]
)
def test_a_function_that_describes_itself_only_once_it_runs_gets_its_datatypes(
    run: Run, mesh: FakeMesh, first: Reply
) -> None:
    mesh.set_replies("GET", "/a/digits/openapi.json", starting("starting"), DESCRIPTION)
    mesh.set_replies("POST", "/a/digits/predict", first, ANSWER)
    done = run("predict", "a", "digits", "--input", "image=0.5,1")
    assert done.code == 0, done.err
    assert mesh.requests[-1].json() == {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [2], "data": [0.5, 1]}]
    }


def test_predict_does_not_wait_with_no_wait_or_for_permanent_reasons(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", "/a/f/predict", starting("starting"), starting("exited"))
    sentence = "mlmesh: no instance of f can take this at the moment: {}: soon\n"
    assert run("predict", "a", "f", "--no-wait") == CommandResult(1, "", sentence.format("starting"))
    assert run("predict", "a", "f") == CommandResult(1, "", sentence.format("exited"))


def test_the_wait_is_bounded(run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.predict.START_TIMEOUT_S", 0.3)
    mesh.set_replies("POST", "/a/f/predict", starting("starting"))
    done = run("predict", "a", "f")
    assert (done.code, done.err.splitlines()[1:]) == (
        1, ["mlmesh: no instance of f can take this at the moment: starting: soon"],
    )  # fmt: skip


def test_a_function_without_inputs_is_called(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", "/a/hello/predict", ANSWER)
    assert run("predict", "a", "hello").code == 0
    assert mesh.requests[0].json() == {"inputs": []}


def test_numbers_are_what_the_function_wants(run: Run, mesh: FakeMesh) -> None:
    numbers = {"properties": {"name": {"const": "numbers"}, "datatype": {"const": "INT64"}}}
    code = {"properties": {"name": {"const": "code"}, "datatype": {"const": "str"}}}
    mesh.set_replies("GET", "/a/f/openapi.json", {"anyOf": [numbers, code]})
    mesh.set_replies("POST", "/a/f/predict", ANSWER)
    assert run("predict", "a", "f", "--input", "numbers=1,4,2,8", "--input", "code=007").code == 0
    assert mesh.requests[1].json()["inputs"] == [
        {"name": "numbers", "datatype": "INT64", "shape": [4], "data": [1, 4, 2, 8]},
        {"name": "code", "datatype": "str", "data": "007"},
    ]
    done = run("predict", "a", "f", "--input", "numbers=many")
    assert (done.code, done.out) == (2, "")
    assert done.err == "mlmesh: numbers: 'many' is none of INT64; write numbers as 1,2,3, else JSON\n"


@pytest.mark.parametrize(
    ("detail", "printed"),
    [
        ("The function raised; look in the log.", "The function raised; look in the log (error id e1)"),
        ("The function raised; it is in the log under e1.", "The function raised; it is in the log under e1"),
    ],
)
def test_an_error_of_the_function_shows_its_error_id_once(run: Run, mesh: FakeMesh, detail: str, printed: str) -> None:
    body = {"error_id": "e1", "request_id": "q1", "error": "ValueError: no"}
    mesh.set_replies("POST", "/a/f/predict", Reply(500, {**body, "detail": detail}))
    assert run("predict", "a", "f").err == f"mlmesh: {printed}; ValueError: no\n"
