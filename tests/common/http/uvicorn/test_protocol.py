"""The HTTP server under small applications: offers of protocols, callers who send no more, slow bodies, limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request

from libs.common.http.app import create_app
from libs.common.http.server import bind, run_server
from libs.common.http.upgrade import head_without_upgrade, is_websocket_upgrade
from libs.common.http.uvicorn import protocol, request_cycle
from libs.common.settings import Settings

DEADLINE_S = 20.0
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n"


class Echo:
    """Answers with the method, what it was sent, and how many headers; waits for `gate` where the path says so."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.waiting = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                await send({"type": f"{(await receive())['type']}.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = len(scope["headers"])
        await self._wait(scope["path"], receive, send)
        said = b"%b %b %d" % (scope["method"].encode(), body, headers)
        if scope["path"] != "/events":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": said})

    async def _wait(self, path: str, receive: Any, send: Any) -> None:
        if path == "/events":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first ", "more_body": True})
        if path in ("/slow", "/events"):
            self.waiting.set()
            hung_up = asyncio.create_task(receive())
            opened = asyncio.create_task(self.gate.wait())
            await asyncio.wait([hung_up, opened], return_when=asyncio.FIRST_COMPLETED)
            if hung_up.done():
                self.gone.set()
            hung_up.cancel()
            opened.cancel()


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[Echo, int]]:
    app, bound = Echo(), bind("127.0.0.1", 0)
    async with run_server(app, bound):
        yield app, bound.getsockname()[1]


async def talk(port: int, *pieces: bytes, half_close: bool = False, at_last: Callable[[], None] | None = None) -> bytes:
    """All that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(DEADLINE_S):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if half_close:
                writer.write_eof()
            if at_last is not None:
                at_last()
            return await reader.read()
    finally:
        writer.close()


def said(received: bytes) -> list[tuple[bytes, bytes]]:
    """Status and body of each answer; all have chunks or a length, and small bodies."""
    found = []
    for one in received.split(b"HTTP/1.1 ")[1:]:
        head, _, body = one.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head:
            parts = body.split(b"\r\n")
            body = b"".join(parts[1::2])
        found.append((head[:3], body))
    return found


# answers before the end of the request


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answers without reading the body."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            await send({"type": f"{(await receive())['type']}.complete"})
        return
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"much"})


async def test_an_early_answer_reaches_a_client_that_sends_everything_before_it_reads() -> None:
    bound, part = bind("127.0.0.1", 0), b"x" * 100_000
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (100 * len(part))
    async with run_server(refuse, bound):
        received = await talk(bound.getsockname()[1], head, *[part] * 100)
    assert said(received) == [(b"413", b"much")]


# offers of other protocols

LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "offer",
    [
        H2C,
        b"Connection: keep-alive, Upgrade\r\nUpgrade: TLS/1.3, h2c\r\n",
        b"Connection: upgrade\r\nUpgrade: something/7\r\nUpgrade: else\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    ],
)
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("split", [False, True], ids=["at once", "byte by byte"])
async def test_an_offer_that_is_not_taken_up_changes_nothing(offer: bytes, framing: bytes, split: bool) -> None:
    request = b"POST /a HTTP/1.1\r\nHost: x\r\n" + offer + framing
    every = request + request + LAST
    async with echo() as (_, port):
        pieces = [every[at : at + 1] for at in range(len(every))] if split else [every]
        answers = said(await talk(port, *pieces))
    assert [(status, body.rpartition(b" ")[0]) for status, body in answers] == [
        (b"200", b"POST body"), (b"200", b"POST body"), (b"200", b"GET ")
    ]  # fmt: skip


async def test_an_offer_without_a_body_leaves_the_connection_usable() -> None:
    async with echo() as (_, port):
        answers = said(await talk(port, b"GET / HTTP/1.1\r\nHost: x\r\n" + H2C + b"\r\n" + LAST))
    assert [status for status, _ in answers] == [b"200", b"200"]


WEBSOCKET = [(b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"h2c, WebSocket")]


@pytest.mark.parametrize(
    ("method", "version", "headers", "is_one"),
    [
        (b"GET", "1.1", WEBSOCKET, True),
        (b"GET", "1.1", [*WEBSOCKET, (b"content-length", b"0")], True),
        (b"GET", "1.1", [*WEBSOCKET, (b"content-length", b"1")], False),
        (b"GET", "1.1", [*WEBSOCKET, (b"transfer-encoding", b"chunked")], False),
        (b"POST", "1.1", WEBSOCKET, False),
        (b"GET", "1.0", WEBSOCKET, False),
        (b"GET", "1.1", [(b"upgrade", b"websockets")], False),
    ],
)
def test_only_a_get_without_a_body_offers_a_websocket(
    method: bytes, version: str, headers: list[tuple[bytes, bytes]], is_one: bool
) -> None:
    assert is_websocket_upgrade(method, version, headers) is is_one


def test_a_head_without_its_offer() -> None:
    headers = [(b"connection", b"Upgrade, X-Hop"), (b"upgrade", b"h2c"), (b"a", b"b"), (b"connection", b"close")]
    assert head_without_upgrade(b"PUT", b"/a?b", "1.1", headers) == (
        b"PUT /a?b HTTP/1.1\r\na: b\r\nconnection: x-hop, close\r\n\r\n"
    )


# callers who send no more

WHOLE = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("path", [b"/", b"/slow", b"/events"])
async def test_who_sends_no_more_gets_the_answer(path: bytes) -> None:
    async with echo() as (app, port):
        asked = asyncio.create_task(talk(port, WHOLE % path, half_close=True))
        if path != b"/":
            async with asyncio.timeout(DEADLINE_S):
                await app.waiting.wait()
        app.gate.set()
        answers = [one for one in said(await asked) if one[0] != b"100"]
    assert [(status, body.removeprefix(b"first ")) for status, body in answers] == [(b"200", b"POST {} 2")]


async def test_every_request_that_was_sent_before_is_answered() -> None:
    async with echo() as (_, port):
        answers = said(await talk(port, WHOLE % b"/" * 3, half_close=True))
    assert [status for status, _ in answers] == [b"200"] * 3


@pytest.mark.parametrize("path", [b"/slow", b"/events"])
async def test_who_has_gone_is_noticed(path: bytes) -> None:
    async with echo() as (app, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(WHOLE % path)
        async with asyncio.timeout(DEADLINE_S):
            await app.waiting.wait()
            writer.close()
            await app.gone.wait()


async def test_part_of_a_request_and_no_more_is_nothing() -> None:
    async with echo() as (_, port):
        assert await talk(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", half_close=True) == b""


# bodies that do not come on


@asynccontextmanager
async def framework() -> AsyncIterator[int]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield

    app = create_app(
        "slow", Settings.from_values(internal_token="t"), lifespan=lifespan, unauthenticated_paths=("/things",)
    )

    @app.post("/things")
    async def things(thing: dict[str, int]) -> dict[str, int]:
        return thing

    @app.put("/things")
    async def stream(request: Request) -> int:
        return sum([len(piece) async for piece in request.stream()])

    bound = bind("127.0.0.1", 0)
    async with run_server(app, bound):
        yield bound.getsockname()[1]


@pytest.mark.parametrize("method", [b"POST", b"PUT"])
@pytest.mark.parametrize("framing", [b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"])
async def test_a_body_that_stops_is_408(monkeypatch: pytest.MonkeyPatch, method: bytes, framing: bytes) -> None:
    monkeypatch.setattr(request_cycle, "BODY_PROGRESS_TIMEOUT_S", 0.2)
    monkeypatch.setattr(request_cycle, "DRAIN_S", 0.0)
    head = b"%b /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" % method
    async with framework() as port:
        received = await talk(port, head + framing)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in received
    assert b"The request body stalled for too long" in received


async def test_a_byte_now_and_then_is_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_cycle, "BODY_PROGRESS_TIMEOUT_S", 0.3)
    async with framework() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PUT /things HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        answer = asyncio.create_task(reader.readline())
        async with asyncio.timeout(DEADLINE_S):
            while not answer.done():
                writer.write(b"x")
                await asyncio.wait([answer], timeout=0.02)
        writer.close()
    assert answer.result().startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_comes_on_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_cycle, "BODY_PROGRESS_TIMEOUT_S", 2.0)
    piece = b"x" * (request_cycle.BODY_PROGRESS_BYTES + 1)
    async with framework() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"PUT /things HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (8 * len(piece))
        )
        for _ in range(8):
            writer.write(piece)
            await asyncio.sleep(0.4)
        async with asyncio.timeout(DEADLINE_S):
            received = await reader.read()
        writer.close()
    assert received.startswith(b"HTTP/1.1 200 ")


# limits


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (CHUNKED + b"5;" + b"a" * 200_000, b"400"),
        (CHUNKED + b"1;a\r\nx\r\n" * 20 + b"1;" + b"a" * 200_000, b"400"),
        (CHUNKED + b"0\r\n" + b"X: y\r\n" * 40_000, b"400"),
        (CHUNKED + b"0\r\nX: " + b"y" * 200_000, b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * protocol.MAX_HEADERS + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
        (CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n", b"200"),
        (CHUNKED + b"1;a=b\r\nx\r\n0\r\nX-Trailer: y\r\n\r\n", b"200"),
    ],
    ids=[
        "extension", "late extension", "trailers", "a trailer", "headers", "a header", "connect", "connect and offer",
        "http/2", "small chunks", "extension and trailer",
    ],
)  # fmt: skip
async def test_what_frames_a_request_has_limits(request_bytes: bytes, status: bytes) -> None:
    async with echo() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(DEADLINE_S):
                for at in range(0, len(request_bytes), 10_000):
                    writer.write(request_bytes[at : at + 10_000])
                    await asyncio.sleep(0)
                received = await reader.readline()
        finally:
            writer.close()
    assert received[9:12] == status


async def test_trailers_are_not_headers() -> None:
    async with echo() as (_, port):
        head = CHUNKED + b"1\r\nx\r\n"
        ((_, answer),) = said(await talk(port, head, b"0\r\nX-Forwarded-For: 1.2.3.4\r\nAuthorization: a\r\n\r\n"))
    assert answer == b"POST x 3"
