"""Files of a call, against a real HTTP server that answers as the gateway's file routes do."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.component import functions
from tests.component.serving import Answer, Served, serving


@dataclass
class Boxes:
    """What the file routes hold, and the calls that they got."""

    files: dict[str, bytes] = field(default_factory=dict)
    calls: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)
    status: int | None = None
    put_status: int | None = None
    cut: bool = False
    url: str = ""


def handler_of(boxes: Boxes) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._seen()
            data = boxes.files.get(self.path.partition("?")[0])
            status = boxes.status or (404 if data is None else 200)
            body = data if data is not None and status == 200 else b"{}"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + (5 if boxes.cut else 0)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = boxes.cut

        def do_PUT(self) -> None:
            self._seen()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if boxes.put_status is None:
                boxes.files[self.path.partition("?")[0]] = body
            self.send_response(boxes.put_status or 201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _seen(self) -> None:
            boxes.calls.append((self.command, self.path, self.headers["X-Mlmesh-Grant"], self.headers["X-Request-ID"]))

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def boxes() -> Iterator[Boxes]:
    held = Boxes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(held)) as server:
        held.url = f"http://127.0.0.1:{server.server_port}/base"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield held
        server.shutdown()
        thread.join()


async def send(served: Served, name: str) -> Answer:
    body = b'{"inputs": [{"name": "text", "datatype": "FILE", "data": "%s"}]}' % name.encode()
    return await served.ask("POST", "/predict", body, X_Mlmesh_Grant="granted", X_Request_ID="r1")


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
    assert [one["data"] for one in answer.json["outputs"]] == [[1], "a.txt"]


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


@pytest.mark.parametrize(("status", "answered"), [(413, 413), (403, 403), (500, 503)])
async def test_a_result_that_is_refused_is_a_problem(boxes: Boxes, status: int, answered: int) -> None:
    boxes.files["/base/app/files/data/g/a.txt"] = b"hello"
    boxes.put_status = status
    async with serving("upper", url=boxes.url, namespace="app", boxes=("data",)) as served:
        answer = await send(served, "g/a.txt")
    assert answer.status == answered
    assert "results/r1/upper-a.txt" in answer.json["detail"] or answered == 403
    assert "x-mlmesh-not-started" not in answer.headers


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
    again = await ask_two_boxes(boxes, first["data"])
    assert again.json["outputs"][0]["data"] == "results/r1/upper-upper-a.txt"


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
