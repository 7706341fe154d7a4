"""Malformed, pipelined and slow requests on the socket, with both parsers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from mlmesh_component.http import connection
from mlmesh_component.http.framing import Limits
from mlmesh_component.http.http1 import Http1Parser
from mlmesh_component.http.llhttp import LlhttpParser

from tests.component import functions
from tests.component.serving import numbers, serving, until

pytestmark = pytest.mark.both_loops

BODY = json.dumps({"inputs": [numbers("x", 1.0)]}).encode()
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def post(body: bytes = BODY, suffix: bytes = b"") -> bytes:
    return b"POST /predict HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s" % (suffix, len(body), body)


@pytest.fixture(params=[Http1Parser, LlhttpParser])
def parser(request: pytest.FixtureRequest) -> Callable[[Limits], Any]:
    parser: Callable[[Limits], Any] = request.param
    return parser


def statuses(received: bytes) -> list[int]:
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


async def test_pipelined_requests_are_answered_in_order(parser: Any) -> None:
    async with serving("echo", parser) as served:
        bodies = [json.dumps({"inputs": [numbers("x", float(n))]}).encode() for n in range(50)]
        received = await served.raw(b"".join(post(body) for body in bodies) + LAST)
    assert statuses(received) == [200] * 51
    places = [received.index(b"[%d.0]" % n) for n in range(50)]
    assert places == sorted(places)
    assert received.count(b"connection: close\r\n") == 1


async def test_bytes_that_come_one_by_one_are_a_request_too(parser: Any) -> None:
    message = post() + LAST
    async with serving("add", parser) as served:
        received = await served.raw(*(message[i : i + 1] for i in range(len(message))))
    assert statuses(received) == [200, 200]


async def test_a_chunked_body_is_read(parser: Any) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(BODY[i : i + 7]), BODY[i : i + 7]) for i in range(0, len(BODY), 7))
    async with serving("add", parser) as served:
        assert statuses(await served.raw(head, chunks, b"0\r\n\r\n")) == [200]


async def test_a_peer_that_waits_for_our_word_gets_it(parser: Any) -> None:
    head = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    )
    async with serving("add", parser) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(head % len(BODY))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert statuses(await reader.read()) == [200]
        writer.close()


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(parser: Any) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n"
    async with serving("add", parser, max_body=1000) as served:
        assert statuses(await served.raw(head)) == [413]


async def test_a_body_that_is_too_large_is_refused_although_it_is_being_sent(parser: Any) -> None:
    async with serving("add", parser, max_body=1000) as served:
        answer = await served.ask("POST", "/predict", b"a" * 5_000_000)
    assert (answer.status, answer.headers["content-type"]) == (413, "application/problem+json")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xee\x01\x00\x00\xea\x03\x03", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (post() + b"rubbish\r\n\r\n", 400),
    ],
)
async def test_rubbish_is_refused_and_the_connection_closed(parser: Any, sent: bytes, status: int) -> None:
    async with serving("add", parser) as served:
        received = await served.raw(sent)
        assert statuses(received)[-1] == status
        assert b"connection: close\r\n" in received
        assert (await served.ask("GET", "/healthz")).status == 200


async def test_half_a_request_and_a_close_leave_nothing_behind(parser: Any) -> None:
    async with serving("add", parser) as served:
        for cut in (3, 40, len(post()) - 1):
            assert await served.raw(post()[:cut], end=True) == b""
        await until(lambda: not served.component._server.connections)
        assert (await served.ask("GET", "/healthz")).status == 200


async def test_an_answer_in_http_1_0_ends_with_the_connection(parser: Any) -> None:
    async with serving("add", parser) as served:
        received = await served.raw(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b"connection: close\r\n" in received
        kept_alive = await served.raw(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", LAST)
        assert b"connection: keep-alive\r\n" in kept_alive
        assert statuses(kept_alive) == [200, 200]


async def test_a_caller_who_sends_no_more_gets_the_answers(parser: Any) -> None:
    functions.GATE.set()
    for name, body in (("add", BODY), ("slow", b'{"inputs": []}')):
        async with serving(name, parser) as served:
            received = await served.raw(post(body) + post(body), end=True)
            assert [status for status in statuses(received) if status != 100] == [200, 200]


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n"


async def test_a_protocol_that_is_offered_is_not_taken_up(parser: Any) -> None:
    async with serving("add", parser) as served:
        assert statuses(await served.raw(post(suffix=OFFER), post(suffix=OFFER), LAST)) == [200, 200, 200]
        every = post(suffix=OFFER) + LAST
        assert statuses(await served.raw(*[every[at : at + 1] for at in range(len(every))])) == [200, 200]


async def test_a_caller_that_goes_is_noticed_while_the_function_runs(parser: Any) -> None:
    functions.SEEN.clear()
    functions.GATE.clear()
    async with serving("slow", parser) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(b'{"inputs": []}'))
        await until(lambda: bool(functions.SEEN))
        assert not functions.SEEN[0].cancelled
        writer.close()
        await until(lambda: functions.SEEN[0].cancelled)
        functions.GATE.set()


async def test_a_caller_that_goes_cancels_a_function_on_the_loop(parser: Any) -> None:
    functions.SEEN.clear()
    async with serving("slow_async", parser) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(b'{"inputs": []}'))
        await until(lambda: bool(functions.SEEN))
        writer.close()
        executor = served.component._executor
        assert executor is not None
        await until(lambda: len(executor.calls.running) == 0)


async def test_a_reader_that_does_not_read_holds_only_itself_up(parser: Any) -> None:
    body = json.dumps({"inputs": [numbers("x", *([0.123456] * 100_000))]}).encode()
    async with serving("echo", parser) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=2**10)
        writer.write(post(body) * 20)
        assert (await served.ask("GET", "/healthz")).status == 200
        writer.write(LAST)
        received = await reader.read()
        writer.close()
    assert received.count(b"HTTP/1.1 200 OK") == 21


@pytest.mark.parametrize(
    ("sent", "silence", "received"),
    [
        (b"", connection.KEEP_ALIVE_SECONDS, []),
        (HEALTH, connection.KEEP_ALIVE_SECONDS, [200]),
        (HEALTH + post()[:30], connection.STALL_TIMEOUT_SECONDS, [200, 408]),
        (post()[:-5], connection.STALL_TIMEOUT_SECONDS, [408]),
    ],
)
async def test_a_peer_that_stops_talking_is_let_go(
    parser: Any, sent: bytes, silence: float, received: list[int]
) -> None:
    async with serving("add", parser) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(sent)
        connections = served.component._server.connections
        await until(lambda: len(connections) == 1)
        if received[:1] == [200]:
            await reader.readuntil(b'{"status":"ok"}')
        elif sent:
            await until(lambda: not next(iter(connections)).parser.is_idle)
        now = asyncio.get_running_loop().time()
        next(iter(connections)).check_timeouts(now + silence - 1)
        assert not next(iter(connections))._closing
        next(iter(connections)).check_timeouts(now + silence + 1)
        later_statuses = statuses(await reader.read())
        assert later_statuses == [status for status in received if status != 200]
        writer.close()
