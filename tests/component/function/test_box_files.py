"""Files of a call: inputs are downloaded, outputs are uploaded and named."""

from __future__ import annotations

from typing import Any

import pytest

from tests.component import functions
from tests.component.file_routes import Boxes, send
from tests.component.serving import Answer, serving


@pytest.mark.parametrize("function", ["upper", "upper_async"])
async def test_a_file_comes_and_a_file_goes(boxes: Boxes, function: str) -> None:
    functions.SEEN.clear()
    boxes.files["/base/app/files/data/g%201/a.txt"] = b"hello"
    async with serving(function, url=boxes.url, namespace="app", boxes=("data",)) as served:
        answer = await send(served, "g 1/a.txt")
    assert answer.json == {"outputs": [{"name": "text", "datatype": "FILE", "data": "results/r1/upper-a.txt"}]}
    assert boxes.files["/base/app/files/data/results/r1/upper-a.txt"] == b"HELLO"
    assert boxes.calls == [
        ("GET", "/base/app/files/data/g%201/a.txt?download=1", "granted", "r1"),
        ("PUT", "/base/app/files/data/results/r1/upper-a.txt?overwrite=true", "granted", "r1"),
    ]
    assert functions.SEEN[0]._folder is None


async def test_an_empty_result_is_uploaded_as_an_empty_file(boxes: Boxes) -> None:
    boxes.files["/base/app/files/data/g/a.txt"] = b""
    async with serving("upper", url=boxes.url, namespace="app", boxes=("data",)) as served:
        assert (await send(served, "data/g/a.txt")).status == 200
    assert boxes.calls[1][1] == "/base/app/files/data/results/r1/upper-a.txt?overwrite=true&upload=1"
    assert boxes.files["/base/app/files/data/results/r1/upper-a.txt"] == b""


async def test_a_large_file_comes_whole(boxes: Boxes) -> None:
    boxes.files["/base/app/files/data/g/a.txt"] = b"x" * 5_000_000 + b"\n"
    async with serving("lines", url=boxes.url, namespace="app", boxes=("data",)) as served:
        answer = await send(served, "g/a.txt")
    assert [output["data"] for output in answer.json["outputs"]] == [[1], "a.txt"]


async def test_a_file_that_is_not_there_is_a_wrong_input(boxes: Boxes) -> None:
    async with serving("upper", url=boxes.url, namespace="app", boxes=("data",)) as served:
        answer = await send(served, "g/a.txt")
    assert (answer.status, answer.json["errors"]) == (
        422,
        [{"input": "text", "message": "there is no file g/a.txt in box data"}],
    )


@pytest.mark.parametrize(
    ("status", "answered", "not_started"), [(403, 403, None), (401, 403, None), (422, 422, None), (500, 503, "1")]
)
async def test_a_refused_file_is_a_problem(boxes: Boxes, status: int, answered: int, not_started: str | None) -> None:
    boxes.status = status
    async with serving("upper", url=boxes.url, namespace="app", boxes=("data",)) as served:
        answer = await send(served, "g/a.txt")
    assert (answer.status, answer.headers.get("x-mlmesh-not-started")) == (answered, not_started)


async def test_half_a_file_is_no_file(boxes: Boxes) -> None:
    boxes.files["/base/app/files/data/g/a.txt"] = b"hello"
    boxes.cut = True
    async with serving("upper", url=boxes.url, namespace="app", boxes=("data",)) as served:
        answer = await send(served, "g/a.txt")
    assert answer.status == 503
    assert answer.json["detail"].startswith("The file of input 'text' cannot be fetched: ")


async def test_a_gateway_that_is_not_there_is_503() -> None:
    async with serving("upper", url="http://127.0.0.1:9", namespace="app", boxes=("data",)) as served:
        answer = await send(served, "g/a.txt")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("name", ["../a", "/g/a", "g/../a", "g//a", "g/", "a", "", "g/\\u0000", "g/" + "a" * 2000])
async def test_a_name_that_is_none_is_refused_before_anything_is_asked(boxes: Boxes, name: str) -> None:
    async with serving("upper", url=boxes.url, namespace="app", boxes=("data",)) as served:
        answer = await send(served, name)
    assert (answer.status, answer.json["errors"][0]["input"]) == (422, "text")
    assert boxes.calls == []


async def ask_two_boxes(boxes: Boxes, name: str, other_boxes: tuple[str, ...] = ()) -> Answer:
    """The model's box is connected, too, and comes first."""
    settings: dict[str, Any] = {
        "namespace": "app",
        "boxes": ("weights", "data"),
        "model_box": "weights",
        "other_boxes": other_boxes,
    }
    async with serving("upper", url=boxes.url, **settings) as served:
        return await send(served, name)


async def test_files_stay_clear_of_the_models_box_and_an_answer_is_an_input_again(boxes: Boxes) -> None:
    boxes.files["/base/app/files/data/g/a.txt"] = b"hello"
    first = (await ask_two_boxes(boxes, "g/a.txt")).json["outputs"][0]
    assert first["data"] == "results/r1/upper-a.txt"
    assert boxes.files["/base/app/files/data/results/r1/upper-a.txt"] == b"HELLO"
    second = await ask_two_boxes(boxes, first["data"])
    assert second.json["outputs"][0]["data"] == "results/r1/upper-upper-a.txt"


async def test_a_named_box_is_asked_and_one_that_is_not_connected_refused(boxes: Boxes) -> None:
    boxes.files["/base/app/files/weights/g/a.txt"] = b"hello"
    assert (await ask_two_boxes(boxes, "weights/g/a.txt")).json["outputs"][0]["data"] == "results/r1/upper-a.txt"
    refused = await ask_two_boxes(boxes, "scans/g/a.txt", ("scans",))
    message = "box scans is not connected to this component; connected are weights, data"
    assert (refused.status, refused.json["errors"]) == (422, [{"input": "text", "message": message}])


async def test_an_answer_says_its_box_where_its_group_would_be_taken_for_one(boxes: Boxes) -> None:
    boxes.files["/base/app/files/data/g/a.txt"] = b"hello"
    answered = (await ask_two_boxes(boxes, "g/a.txt", ("results",))).json["outputs"][0]["data"]
    assert answered == "data/results/r1/upper-a.txt"
    assert (await ask_two_boxes(boxes, answered, ("results",))).status == 200


async def test_a_tensors_file_is_looked_for_by_the_same_rule(boxes: Boxes) -> None:
    boxes.files["/base/app/files/data/g/a.txt"] = b"hello"
    tensor = b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["g/a.txt"]}]}'
    two: dict[str, Any] = {"boxes": ("weights", "data"), "model_box": "weights"}
    async with serving("upper", url=boxes.url, namespace="app", component="upper", **two) as served:
        answer = await served.ask("POST", "/v2/models/upper/infer", tensor, X_Request_ID="r1")
    assert answer.json["outputs"][0]["data"] == ["results/r1/upper-a.txt"]
    assert "/base/app/files/data/results/r1/upper-a.txt" in boxes.files
