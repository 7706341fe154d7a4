from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.cli.fake_mesh import FakeMesh, Reply

ANSWER = {"outputs": [{"name": "digit", "datatype": "INT64", "shape": [1], "data": [3]}]}
IMAGE = {"properties": {"name": {"const": "image"}, "datatype": {"enum": ["FP32", "FP64"]}}}


def test_inputs_get_the_datatypes_that_the_function_declares(run: Run, mesh: FakeMesh) -> None:
    mesh.answers("GET", "/a/digits/openapi.json", {"components": {"schemas": {"Image": IMAGE}}})
    mesh.answers("POST", "/a/digits/predict", ANSWER)
    assert json.loads(run("predict", "a", "digits", "--input", "image=[1, 2]", "--input", "top=3").out) == ANSWER
    assert mesh.asked[1].json() == {
        "inputs": [
            {"name": "image", "datatype": "FP32", "shape": [2], "data": [1, 2]},
            {"name": "top", "datatype": "INT64", "shape": [1], "data": [3]},
        ]
    }


def test_a_function_without_description_is_called_all_the_same(run: Run, mesh: FakeMesh) -> None:
    mesh.answers("POST", "/a/digits/predict", ANSWER)
    assert run("predict", "a", "digits", "--input", "text=hello").code == 0
    assert mesh.asked[1].json() == {"inputs": [{"name": "text", "datatype": "str", "data": "hello"}]}


def test_a_whole_request_can_come_from_a_file(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"inputs": []}')
    mesh.answers("POST", "/a/digits/predict", ANSWER)
    assert run("predict", "a", "digits", "--json", str(tmp_path / "x.json")).code == 0
    assert mesh.asked[0].json() == {"inputs": []}


def test_an_answer_in_pieces_is_a_line_each_and_its_fault_the_last(run: Run, mesh: FakeMesh) -> None:
    lines = [json.dumps(ANSWER), json.dumps({"status": 500, "title": "x", "detail": "it broke"})]
    whole = Reply(200, "".join(line + "\n" for line in lines).encode(), {"Content-Type": "application/x-ndjson"})
    mesh.answers("POST", "/a/digits/predict", whole)
    done = run("predict", "a", "digits", "--input", "text=hello")
    assert (done.code, done.out, done.err) == (1, lines[0] + "\n", "mlmesh: it broke\n")


def test_a_wrong_input_is_named(run: Run, mesh: FakeMesh) -> None:
    problem = {"detail": "the inputs do not fit", "errors": [{"input": "image", "message": "missing"}]}
    mesh.answers("POST", "/a/digits/predict", Reply(422, problem))
    done = run("predict", "a", "digits", "--input", "x=1")
    assert (done.code, done.err) == (1, "mlmesh: the inputs do not fit\n  image: missing\n")
