"""The routes, over real sockets, with both parsers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlmesh_component.http.framing import Limits
from mlmesh_component.http.http1 import Http1Parser
from mlmesh_component.http.llhttp import LlhttpParser

from tests.component import functions
from tests.component.serving import numbers, serving, text

X = numbers("x", 1.0, 2.0)


@pytest.fixture(params=[Http1Parser, LlhttpParser])
def parser(request: pytest.FixtureRequest) -> Callable[[Limits], Any]:
    parser: Callable[[Limits], Any] = request.param
    return parser


async def test_a_prediction_is_answered(parser: Any) -> None:
    async with serving("add", parser) as served:
        answer = await served.predict(X)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "outputs": [
            {"name": "total", "datatype": "FP64", "data": [3.0], "shape": [1]},
            {"name": "count", "datatype": "INT32", "data": [2], "shape": [1]},
        ]
    }


@pytest.mark.parametrize("name", ["echo", "echo_async"])
async def test_returned_items_pass_as_they_are(parser: Any, name: str) -> None:
    item = {**text("a", "ü"), "content_type": "text/plain", "own": [1, None]}
    async with serving(name, parser) as served:
        assert (await served.predict(item)).json == {"outputs": [item]}


async def test_a_large_body_is_read_beside_the_loop(parser: Any) -> None:
    item = numbers("x", *([0.5] * 200_000))
    async with serving("echo", parser) as served:
        assert (await served.predict(item)).json == {"outputs": [item]}
        assert (await served.predict(item, model_key="other")).status == 422
        assert (await served.ask("POST", "/predict", b"[" * 300_000)).status == 400


async def test_the_function_is_told_about_its_call() -> None:
    async with serving("call_details", boxes=("data",)) as served:
        answer = await served.ask(
            "POST",
            "/predict",
            json.dumps({"inputs": [], "parameters": [{"k": 1}], "output_fields": ["told"]}).encode(),
            X_Request_ID="abc-1",
            X_Mlmesh_User="алиса".encode().decode("latin-1"),
        )
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.json["outputs"][0]["data"] == {
        "request_id": "abc-1",
        "caller": "алиса",
        "parameters": [{"k": 1}],
        "output_fields": ["told"],
        "boxes": ["data"],
        "in_time": True,
    }


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 400, "The body is not JSON: it is empty"),
        (b"{", 400, "The body is not JSON"),
        (b'{"inputs": [NaN}', 400, "The body is not JSON"),
        (b'{"inputs": NaN}', 400, "The body is not JSON: it has NaN, which JSON does not know"),
        (rb'{"inputs": [{"name": "\ud800"}]}', 400, "The body is not JSON: it has a text with \\ud800 alone"),
        (b"[]", 422, "body: must be an object with inputs"),
        (b'{"inputs": []}', 422, "x: is missing"),
    ],
)
async def test_a_request_that_does_not_fit_is_a_problem(body: bytes, status: int, detail: str) -> None:
    async with serving("add") as served:
        answer = await served.ask("POST", "/predict", body, X_Request_ID="r1")
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json["detail"].startswith(detail)
    assert answer.json["request_id"] == "r1"
    assert answer.json["status"] == status
    assert set(answer.json) - {"errors"} == {"type", "title", "status", "detail", "request_id"}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"inputs": []}', b'{"inputs": null}'])
@pytest.mark.parametrize("path", ["/predict", "/v2/models/component/infer"])
async def test_a_function_that_needs_no_input_is_called_without(path: str, body: bytes) -> None:
    for function in ("hello", "echo"):
        async with serving(function) as served:
            assert (await served.ask("POST", path, body)).status == 200
    async with serving("add") as served:
        assert (await served.ask("POST", path, body)).status == (422 if body else 400)


async def test_an_ill_typed_input_is_named() -> None:
    async with serving("add") as served:
        answer = await served.predict(text("x", "1"), text("q", ""))
    assert answer.status == 422
    assert answer.json["errors"] == [
        {"input": "x", "message": "datatype must be FP32 or FP64, not 'str'"},
        {"input": "q", "message": "is not an input of this function"},
    ]


async def test_plain_parameters_are_passed_by_name() -> None:
    async with serving("greet") as served:
        answer = await served.predict(text("name", "Ada"), numbers("times", 2, datatype="INT32"))
        assert answer.json["outputs"][0] == {"name": "text", "datatype": "str", "data": "warm Adawarm Ada"}
        scalar = {"name": "times", "datatype": "INT64", "data": 1}
        assert (await served.predict(text("name", "Ada"), scalar)).json["outputs"][0]["data"] == "warm Ada"
        refused = await served.predict(text("name", "Ada"), text("tone", "loud"))
        assert refused.status == 422
        assert refused.json["errors"] == [{"input": "tone", "message": "must be one of 'warm', 'cold', not 'loud'"}]


async def test_output_fields_select_and_order() -> None:
    async with serving("add") as served:
        answer = await served.predict(X, output_fields=["count", "total"])
        assert [output["name"] for output in answer.json["outputs"]] == ["count", "total"]
        answer = await served.predict(X, output_fields=["count"])
        assert [output["name"] for output in answer.json["outputs"]] == ["count"]
        answer = await served.predict(X, output_fields=["nope"])
        assert answer.status == 422


async def test_output_fields_may_be_objects_with_a_name() -> None:
    async with serving("add") as served:
        output_fields = [{"name": "count", "datatype": "str"}]
        answer = await served.predict(numbers("x", 1, 2), output_fields=output_fields)
        assert [output["name"] for output in answer.json["outputs"]] == ["count"]
        assert (await served.predict(numbers("x", 1, 2), output_fields=[{"datatype": "str"}])).status == 422


async def test_output_fields_of_a_function_without_declared_outputs_are_checked_behind_it() -> None:
    async with serving("echo") as served:
        answer = await served.predict(text("a", "1"), text("b", "2"), output_fields=["b"])
        assert [output["name"] for output in answer.json["outputs"]] == ["b"]
        answer = await served.predict(text("a", "1"), output_fields=["nope"])
        assert (answer.status, answer.json["errors"]) == (
            422,
            [{"input": "output_fields", "message": "there is no output 'nope'"}],
        )


@pytest.mark.parametrize("name", ["raises", "raises_async"])
async def test_a_function_that_raises_is_500_with_an_error_id_that_is_in_the_log(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(name) as served:
        answer = await served.ask("POST", "/predict", b'{"inputs": []}', X_Request_ID="r7")
    assert (answer.status, answer.json["error"]) == (500, "ValueError: no such digit")
    log = capsys.readouterr().err
    assert log.startswith(f"mlmesh: error {answer.json['error_id']} (request r7)\nTraceback")
    assert log.endswith("ValueError: no such digit\n")
    assert "mlmesh_component" not in log
    assert "raise ValueError" not in answer.body.decode()


async def test_a_function_that_leaves_the_interpreter_does_not_take_it_along() -> None:
    async with serving("leaves") as served:
        answer = await served.predict()
        assert (answer.status, answer.json["error"]) == (500, "SystemExit: 3")
        assert (await served.predict()).status == 500


@pytest.mark.parametrize(
    ("what", "detail"),
    [
        ("nothing", "The function returned NoneType, not a list of items or a dict of values by name."),
        ("number", "The function returned int, not a list of items or a dict of values by name."),
        ("no item", "The function's output 0 is str, not an item."),
        ("no name", "The function's output 0 (None) has no name."),
        ("no datatype", "The function's output 0 ('x') has no datatype."),
        ("no data", "The function's output 0 ('x') has no data."),
        ("object", "The function's output 'y' cannot be returned: object has no datatype."),
        (
            "none",
            "The function's output 'y' is None, but it is not optional: say `:type outputs.y: str, optional` in the "
            "docstring, or Optional in the TypedDict, dataclass or model that the function is annotated to return.",
        ),
        ("ragged", "The function's output 'y' cannot be returned: a list of lists of different lengths has no shape."),
        ("key", "The function returned a dict with the key 1; names of outputs are strings."),
        ("file", "The function's output 'y' names a file that cannot be read."),
    ],
)
async def test_a_wrong_output_is_500_and_says_which(what: str, detail: str) -> None:
    async with serving("answer_of") as served:
        answer = await served.predict(text("what", what))
    assert (answer.status, answer.json["detail"]) == (500, detail)


async def test_an_output_that_is_no_json_is_named() -> None:
    async with serving("answer_of") as served:
        answer = await served.predict(text("what", "inside"))
    assert answer.status == 500
    assert answer.json["detail"].startswith("The function's output 'y' cannot be written as JSON: ")


async def test_health_readiness_and_description_are_answered() -> None:
    async with serving("add", component="adder") as served:
        assert ((await served.ask("GET", "/healthz")).json) == {"status": "ok"}
        assert ((await served.ask("GET", "/readyz")).json) == {"status": "ready"}
        described = (await served.ask("GET", "/openapi.json")).json
        assert (described["openapi"], described["info"]["title"]) == ("3.1.0", "adder")
        page = await served.ask("GET", "/docs?x=1")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert b"<h1>adder</h1>" in page.body


async def test_head_has_the_head_of_get_and_no_body() -> None:
    async with serving("add") as served:
        get, head = await served.ask("GET", "/readyz"), await served.ask("HEAD", "/readyz")
        assert (head.status, head.headers["content-length"], head.body) == (200, str(len(get.body)), b"")


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("POST", "/predict/", 404, None),
        ("GET", "/predict", 405, "POST"),
        ("HEAD", "/predict", 405, "POST"),
        ("POST", "/readyz", 405, "GET, HEAD"),
        ("DELETE", "/docs", 405, "GET, HEAD"),
    ],
)
async def test_what_is_not_there_is_404_and_what_is_not_done_405(
    method: str, path: str, status: int, allow: str | None
) -> None:
    async with serving("add") as served:
        answer = await served.ask(method, path)
    assert (answer.status, answer.headers.get("allow")) == (status, allow)


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("", 401), ("wrong", 401), ("secret", 200)])
async def test_only_calls_with_the_instance_token_are_answered(token: str | None, status: int) -> None:
    async with serving("add", token="secret") as served:
        headers = {} if token is None else {"X_Mlmesh_Token": token}
        body = json.dumps({"inputs": [X]}).encode()
        assert (await served.ask("POST", "/predict", body, **headers)).status == status
        for path in ("/openapi.json", "/docs"):
            assert (await served.ask("GET", path, None, **headers)).status == status
        for path in ("/healthz", "/readyz"):
            assert (await served.ask("GET", path, None, **headers)).status == 200
        assert (await served.ask("GET", "/nowhere", None, **headers)).status == (404 if status == 200 else 401)


async def test_an_unsafe_request_id_is_replaced() -> None:
    async with serving("add") as served:
        answer = await served.ask("GET", "/healthz", X_Request_ID="a b")
    assert len(answer.headers["x-request-id"]) == 32


async def test_the_model_reaches_the_function(tmp_path: Any) -> None:
    (tmp_path / "m.txt").write_text("weights")
    loader = "tests.component.functions:load_shout"
    async with serving("with_model", model_path=str(tmp_path / "m.txt"), loader=loader) as served:
        assert (await served.predict()).json["outputs"][0]["data"] == "WEIGHTS"


async def test_without_a_platform_a_file_is_a_local_path(tmp_path: Any) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one\ntwo\n")
    async with serving("lines") as served:
        answer = await served.predict({"name": "text", "datatype": "FILE", "data": str(file)})
        assert answer.json["outputs"][0]["data"] == [2]
        missing = await served.predict({"name": "text", "datatype": "FILE", "data": str(tmp_path / "b")})
        assert (missing.status, missing.json["errors"][0]["input"]) == (422, "text")
        nul = await served.predict({"name": "text", "datatype": "FILE", "data": "a\0b"})
        assert nul.status == 422


async def test_the_folder_of_a_call_goes_with_it_and_what_it_returned_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = tmp_path / "a.txt"
    file.write_text("one")
    functions.SEEN.clear()
    async with serving("upper") as served:
        answer = await served.predict({"name": "text", "datatype": "FILE", "data": str(file)})
    result_path = Path(answer.json["outputs"][0]["data"])
    assert (result_path.name, result_path.read_text()) == ("upper-a.txt", "ONE")
    assert functions.SEEN[0]._folder is None
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", result_path.parents[2].name}
