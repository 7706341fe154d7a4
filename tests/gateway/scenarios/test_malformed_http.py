"""Malformed and abusive HTTP of clients and components: refused, without effect on other calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from tests.gateway.mesh import ALICE, Mesh, app_document, wait_until

PREDICT = "/demo/digits/predict"
AUTHORIZATION = f"Authorization: {ALICE['Authorization']}".encode()
INNER = b"POST /demo/open/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
DEADLINE_S = 10.0


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((b"POST /demo/digits/predict HTTP/1.1", b"Host: x", AUTHORIZATION, *lines, b"", body))


async def exchange_bytes(mesh: Mesh, content: bytes) -> bytes:
    """The bytes received until the gateway closes the connection, or is silent for a second."""
    url = URL(mesh.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    received = b""
    try:
        writer.write(content)
        async with asyncio.timeout(1.0):
            while piece := await reader.read(65536):
                received += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return received


async def can_predict(mesh: Mesh) -> bool:
    return (await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE))[0] == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + INNER),
        post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"5c\r\n" + INNER + b"\r\n0\r\n\r\n"),
        post(b"Content-Length: 2", b"Content-Length: 200", body=b"{}" + INNER),
        post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + INNER),
        post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n" + INNER),
        post(b"X-Folded: a", b" Content-Length: 2", body=b"{}" + INNER),
        post(b"Content-Length: 2", body=b"{}" + INNER).replace(b"\r\nHost: x", b"\nHost: x", 1),
        post(b"Content-Length: -1", body=INNER),
        post(b"Content-Length: +2", body=b"{}" + INNER),
    ],
    ids=["cl.te", "te.cl", "two lengths", "unknown coding", "space", "obs-fold", "bare lf", "negative", "sign"],
)
async def test_a_request_with_two_meanings_is_refused_and_nothing_is_smuggled(mesh: Mesh, request_bytes: bytes) -> None:
    received = await exchange_bytes(mesh, request_bytes)
    assert received.startswith(b"HTTP/1.1 400")
    assert received.count(b"HTTP/1.1") == 1
    assert mesh.component.requests == []
    assert await can_predict(mesh)


NAMED = (b"x-forwarded-for", b"forwarded", b"x-request-id", b"x-mlmesh-token", b"x-mlmesh-user", b"content-length")


@pytest.mark.parametrize("lines", [[b"Connection: " + b", ".join(NAMED)], [b"Connection: " + name for name in NAMED]])
async def test_what_the_gateway_adds_is_not_of_the_callers_connection(mesh: Mesh, lines: list[bytes]) -> None:
    forged = [
        b"X-Forwarded-For: 1.2.3.4",
        b"X-Mlmesh-User: root",
        b"X-Hop: 1",
        b"Connection: X-Hop",
        b"Connection: close",
    ]
    received = await exchange_bytes(mesh, post(b"Content-Length: 2", *lines, *forged, body=b"{}"))
    assert received.startswith(b"HTTP/1.1 200")
    (request,) = mesh.component.requests
    headers = request.headers
    assert (headers["x-forwarded-for"], headers["x-mlmesh-user"], request.body) == ("127.0.0.1", "alice", b"{}")
    assert headers["x-mlmesh-token"] == f"token-{mesh.component.port}"
    assert "connection" not in headers
    assert "x-hop" not in headers


TRICKLE = 15
"""More connections than the component has slots."""


async def test_who_has_not_sent_the_request_holds_no_place(mesh: Mesh) -> None:
    url = URL(mesh.url)
    slow = [await asyncio.open_connection(url.host, url.port) for _ in range(TRICKLE)]
    for _, writer in slow:
        writer.write(b"POST /demo/open/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
    for _, writer in slow:
        await writer.drain()
    for _ in range(5):
        assert await can_predict(mesh)
        for _, writer in slow:
            writer.write(b"x")
    assert len(mesh.component.requests) == 5
    for _, writer in slow:
        writer.close()


@pytest.mark.parametrize(
    "line",
    [
        b"POST /demo/open/predict",  b"POST /demo/train/runs", b"PUT /demo/files/data/a/b",
        b"POST /hooks/demo", b"POST /api/v1/validate", b"PUT /api/v1/apps/demo/secrets/a", b"PUT /links/abc",
        b"POST /demo/v2/models/open/infer",
    ],
)  # fmt: skip
@pytest.mark.parametrize("framing", [b"Content-Length: 100\r\n\r\nx", b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"])
async def test_a_body_that_stops_is_408(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, line: bytes, framing: bytes
) -> None:
    monkeypatch.setattr("libs.common.http.uvicorn.request_cycle.BODY_PROGRESS_TIMEOUT_S", 0.2)
    who = b"Authorization: Bearer owner" if line.startswith((b"POST /api", b"PUT /api")) else AUTHORIZATION
    received = await exchange_bytes(mesh, line + b" HTTP/1.1\r\nHost: x\r\n" + who + b"\r\n" + framing)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"The request body stalled for too long" in received


@pytest.mark.parametrize("count", [100, 2000])
async def test_headers_without_end_are_refused(mesh: Mesh, count: int) -> None:
    received = await exchange_bytes(mesh, post(*(b"X-%d: %s" % (number, b"x" * 1000) for number in range(count))))
    assert received.startswith(b"HTTP/1.1 431") or received == b""  # reset, when it went on sending
    assert mesh.component.requests == []
    assert await can_predict(mesh)


async def test_a_head_without_end_is_not_waited_for(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.common.http.uvicorn.protocol.HEAD_TIMEOUT_S", 0.2)
    url = URL(mesh.url)
    for partial_head in (b"", b"POST /demo/digits/predict HTTP/1.1\r\nHost: x\r\nX-Slow: "):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(partial_head)
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""
        writer.close()


async def test_a_huge_body_is_refused_before_it_is_sent(mesh: Mesh) -> None:
    received = await exchange_bytes(mesh, post(b"Content-Length: 1000000000", b"Expect: 100-continue"))
    assert received.startswith(b"HTTP/1.1 413")
    assert mesh.component.requests == []
    assert await can_predict(mesh)


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serve_bytes(behave: Behaviour) -> AsyncIterator[int]:
    """The port of a component that responds with arbitrary bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behave(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def respond_with(*pieces: bytes) -> Behaviour:
    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return behave


@pytest.mark.parametrize(
    "pieces",
    [
        (b"rubbish\r\n\r\n",),
        (b"",),
        (b"HTTP/1.1 200 OK\r\nContent-Le",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000,),
    ],
    ids=["no http", "nothing", "half a head", "bad length", "header bomb"],
)
async def test_a_component_that_answers_rubbish_is_503(mesh: Mesh, pieces: tuple[bytes, ...]) -> None:
    async with serve_bytes(respond_with(*pieces)) as port:
        mesh.scheduler.publish({"demo": app_document(port)})
        count_before = len(mesh.scheduler.requests)
        await wait_until(lambda: len(mesh.scheduler.requests) > count_before + 1)
        async with asyncio.timeout(DEADLINE_S):
            status, headers, _ = await mesh.call("POST", PREDICT, data=b"{}", headers=ALICE)
    assert (status, headers["Retry-After"]) == (503, "1")


async def test_an_answer_that_breaks_off_is_cut_off_for_the_caller_too(mesh: Mesh) -> None:
    async with serve_bytes(respond_with(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")) as port:
        mesh.scheduler.publish({"demo": app_document(port)})
        count_before = len(mesh.scheduler.requests)
        await wait_until(lambda: len(mesh.scheduler.requests) > count_before + 1)
        received = await exchange_bytes(mesh, post(b"Content-Length: 2", body=b"{}"))
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"half")


async def test_a_caller_that_sends_slowly_and_one_that_never_reads_disturb_nobody(mesh: Mesh) -> None:
    url = URL(mesh.url)
    _, slow = await asyncio.open_connection(url.host, url.port)
    slow.write(post(b"Content-Length: 100", body=b"{"))
    _, deaf = await asyncio.open_connection(url.host, url.port)
    deaf.write(post(b"Content-Length: 2", body=b"{}") * 50)
    assert all([await can_predict(mesh) for _ in range(20)])
    slow.close()
    deaf.close()


@pytest.mark.parametrize(
    "path", ["/demo/..%2Fdemo/digits/predict", "/demo/%2e%2e/digits/predict", "/demo/./digits/predict"]
)
async def test_a_path_that_could_be_another_one_is_refused(mesh: Mesh, path: str) -> None:
    assert (await mesh.call("POST", path, data=b"{}", headers=ALICE))[0] in (400, 404)
    assert mesh.component.requests == []


async def test_an_encoded_slash_is_no_slash(mesh: Mesh) -> None:
    assert (await mesh.call("POST", "/demo%2Fdigits/predict", data=b"{}", headers=ALICE))[0] == 404
    assert await can_predict(mesh)


async def test_nothing_is_left_of_calls_that_came_to_nothing(mesh: Mesh) -> None:
    count_before = len(asyncio.all_tasks())
    for _ in range(20):
        await send_and_abort(mesh)
    await wait_until(lambda: len(asyncio.all_tasks()) <= count_before + 2)


async def send_and_abort(mesh: Mesh) -> None:
    url = URL(mesh.url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(post(b"Content-Length: 100", body=b"{"))
    await writer.drain()
    writer.transport.abort()
