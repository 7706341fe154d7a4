"""Streamed responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from mlmesh_component.component_server import LoadError

from tests.component import functions
from tests.component.serving import Answer, Served, serving, until

BOTH = pytest.mark.parametrize("kind", ["", "_async"])


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    functions.CLOSED.clear()
    functions.BATCHES.clear()
    functions.GATE.clear()
    yield
    functions.GATE.set()


def item(name: str, data: int) -> dict[str, Any]:
    return {"name": name, "datatype": "INT64", "shape": [1], "data": [data]}


def body(*inputs: dict[str, Any]) -> bytes:
    return json.dumps({"inputs": list(inputs)}).encode()


def post(content: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    head = b"\r\n".join(
        (b"POST /predict HTTP/%s" % version, b"Host: x", b"Content-Length: %d" % len(content), *headers)
    )
    return head + b"\r\n\r\n" + content


async def lines(served: Served, *inputs: dict[str, Any]) -> tuple[Answer, list[Any]]:
    answer = await served.ask("POST", "/predict", body(*inputs), Accept="application/x-ndjson")
    return answer, [json.loads(line) for line in answer.body.splitlines()]


def running(served: Served) -> int:
    assert served.component._executor is not None
    return len(served.component._executor.calls.running)


def numbers(pieces: list[Any]) -> list[int]:
    return [piece["outputs"][0]["data"][0] for piece in pieces]


@BOTH
async def test_each_value_is_an_event_and_the_end_is_one(kind: str) -> None:
    async with serving("count" + kind) as served:
        answer = await served.predict(item("to", 2))
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    *events, last, nothing = answer.body.decode().split("\n\n")
    assert numbers([json.loads(event.removeprefix("data: ")) for event in events]) == [0, 1]
    assert (last, nothing) == ("event: end\ndata: {}", "")


@BOTH
async def test_or_a_line_when_lines_are_asked_for(kind: str) -> None:
    async with serving("count" + kind) as served:
        answer, pieces = await lines(served, item("to", 3))
        assert (answer.headers["content-type"], numbers(pieces)) == ("application/x-ndjson", [0, 1, 2])
        answer, pieces = await lines(served, item("to", 0))
        assert (answer.status, pieces) == (200, [])


@BOTH
async def test_a_fault_before_the_first_value_is_an_ordinary_one(kind: str) -> None:
    async with serving("count" + kind) as served:
        answer = await served.predict(item("to", 2), item("fail_at", 0))
        assert (answer.status, answer.json["error"]) == (500, "ValueError: no 0")
        assert (await served.predict(item("top", 2))).status == 422
        assert (await lines(served, item("to", 1)))[0].status == 200


@BOTH
async def test_a_fault_later_is_the_last_that_comes(kind: str) -> None:
    async with serving("count" + kind) as served:
        _, pieces = await lines(served, item("to", 5), item("fail_at", 2))
        assert numbers(pieces[:-1]) == [0, 1]
        assert (pieces[-1]["status"], pieces[-1]["error"]) == (500, "ValueError: no 2")
        answer = await served.predict(item("to", 5), item("fail_at", 2))
        assert b"event: error\ndata: {" in answer.body
        assert b"event: end" not in answer.body


@BOTH
async def test_a_value_is_there_before_the_next_one_is(kind: str) -> None:
    async with serving("slowly" + kind) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(body(), b"Accept: application/x-ndjson", b"Connection: close"))
        first = await asyncio.wait_for(reader.readuntil(b"}]}\n"), 10)
        assert b"transfer-encoding: chunked" in first
        functions.GATE.set()
        remainder = await asyncio.wait_for(reader.read(), 10)
        assert remainder.endswith(b"\r\n0\r\n\r\n")
        writer.close()


@BOTH
async def test_the_next_request_of_a_connection_is_answered_after_the_stream(kind: str) -> None:
    async with serving("count" + kind) as served:
        request = post(body(item("to", 2)), b"Accept: application/x-ndjson")
        received = await served.raw(
            request + request + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.rindex(b"outputs") < received.index(b'{"status":"ok"}')


async def test_in_http_1_0_the_end_of_the_connection_is_the_end() -> None:
    async with serving("count") as served:
        received = await served.raw(post(body(item("to", 1)), b"Accept: application/x-ndjson", version=b"1.0"))
    head, _, content = received.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert numbers([json.loads(content)]) == [0]


@BOTH
async def test_who_leaves_ends_the_function(kind: str) -> None:
    async with serving("flood" + kind) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(body(item("size", 100_000))))
        await reader.readexactly(200_000)
        writer.transport.abort()
        await until(lambda: ["flood" + kind] == functions.CLOSED)
        assert len(functions.BATCHES) < 1000
        await until(lambda: running(served) == 0)


@BOTH
async def test_who_does_not_read_makes_the_function_wait(kind: str) -> None:
    async with serving("flood" + kind) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(body(item("size", 1_000_000)), b"Connection: close"))
        await until(lambda: len(functions.BATCHES) > 1)
        await asyncio.sleep(0.3)
        held = len(functions.BATCHES)
        assert held < 100
        read = 0
        while piece := await asyncio.wait_for(reader.read(1 << 20), 10):
            read += len(piece)
        assert read > 1000 * 1_000_000
        writer.close()


@BOTH
async def test_a_stream_ends_at_its_deadline(kind: str) -> None:
    async with serving("slowly" + kind, timeout=0.3) as served:
        _, pieces = await lines(served)
        assert (numbers(pieces[:1]), pieces[1]["status"]) == ([1], 504)
        functions.GATE.set()
        await until(lambda: running(served) == 0)


@BOTH
async def test_a_warm_up_runs_to_the_end_of_the_stream(kind: str) -> None:
    async with serving("count" + kind, warmup=({"inputs": [item("to", 2)]},)):
        assert ["count" + kind] == functions.CLOSED
    with pytest.raises(LoadError, match="warm-up request 1: ValueError: no 1"):
        async with serving("count" + kind, warmup=({"inputs": [item("to", 2), item("fail_at", 1)]},)):
            pass


async def test_a_stream_cannot_be_batched() -> None:
    with pytest.raises(LoadError, match="a generator function cannot be batched"):
        async with serving("count", batch_size=4):
            pass


async def test_the_description_says_that_the_answer_comes_in_pieces() -> None:
    async with serving("count") as served:
        described = (await served.ask("GET", "/openapi.json")).json
    content = described["paths"]["/predict"]["post"]["responses"]["200"]["content"]
    assert sorted(content) == ["application/x-ndjson", "text/event-stream"]
