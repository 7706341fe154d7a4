"""Web applications as components, over real sockets."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from mlmesh_component.asgi.websocket_session import PING_INTERVAL_SECONDS, PING_TIMEOUT_SECONDS
from mlmesh_component.asgi_component import ApplicationComponent
from mlmesh_component.component_server import LoadError
from mlmesh_component.http import connection
from mlmesh_component.settings import Settings

from tests.component.applications import GO, HEARD, afresh
from tests.component.serving import until

pytestmark = pytest.mark.both_loops

STATE = b"GET /state HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
NOT_HTTP = (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\n y: z\r\n\r\n")
BEHIND = {
    "X-Mlmesh-Token": "secret",
    "X-Forwarded-Prefix": "/demo/web",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "mesh.example",
    "X-Forwarded-For": "203.0.113.9, 10.0.0.1",
}


Both = tuple[ApplicationComponent, aiohttp.ClientSession]


@asynccontextmanager
async def serving(
    name: str = "app", token: str | None = None
) -> AsyncIterator[tuple[ApplicationComponent, aiohttp.ClientSession]]:
    afresh()
    settings = Settings(app=f"tests.component.applications:{name}", host="127.0.0.1", port=0, token=token)
    served = ApplicationComponent(settings)
    port = await served.listen()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            await served.load()
            yield served, session
    finally:
        await served.close()


async def raw(port: int, *sent: bytes, end: bool = False) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for data in sent:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0.02)
        if end:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), 15)
    finally:
        writer.close()


async def test_every_method_and_path_is_the_applications_own() -> None:
    async with serving() as (_, session):
        async with session.put("/echo/a/b%20c?d=1&d=2", data=b"body", headers={"X-Own": "1"}) as answer:
            received = await answer.json()
        async with session.options("/echo/") as answer:
            assert answer.status == 200
        async with session.get("/nothing") as answer:
            assert answer.status == 404
        async with session.head("/openapi.json") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        async with session.get("/openapi.json") as answer:
            assert (await answer.json())["info"]["title"] == "FastAPI"
    assert received["headers"] == {"x-own": "1"}
    assert (received["method"], received["rest"], received["query"], received["body"]) == (
        "PUT",
        "a/b c",
        "d=1&d=2",
        "body",
    )


async def test_the_lifespan_is_the_applications_own() -> None:
    async with serving() as (_, session), session.get("/state") as answer:
        assert await answer.json() == "kept"
        assert HEARD == ["up"]
    assert HEARD == ["up", "down"]


async def test_an_application_without_a_lifespan_is_served() -> None:
    async with serving("plain") as (_, session), session.get("/") as answer:
        assert await answer.text() == "plain"


async def test_an_application_that_cannot_start_says_why() -> None:
    with pytest.raises(LoadError, match=r"^ValueError: no weights$"):
        async with serving("cannot_start"):
            pass
    with pytest.raises(LoadError, match="has no 'nothing'"):
        async with serving("nothing"):
            pass


async def test_it_sees_itself_as_its_callers_do() -> None:
    async with serving(token="secret") as (_, session):
        async with session.get("/", headers=BEHIND) as answer:
            received = await answer.json()
        async with session.get("/echo/x", headers=BEHIND) as answer:
            headers = (await answer.json())["headers"]
    assert received == {
        "url": "https://mesh.example/demo/web/",
        "base": "https://mesh.example/demo/web/",
        "client": "203.0.113.9",
    }
    assert headers == {}


async def test_only_who_has_the_token_is_let_in() -> None:
    async with serving(token="secret") as (_, session):
        for path, status in (("/", 401), ("/healthz", 200), ("/readyz", 200)):
            async with session.get(path) as answer:
                assert (path, answer.status) == (path, status)
        async with session.get("/healthz", headers=BEHIND) as answer:
            assert answer.status == 404  # the application has no such page


async def test_bodies_come_in_pieces_and_of_any_size() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * 100_000

    async with serving() as (_, session):
        async with session.post("/size", data=pieces()) as answer:
            chunked = await answer.json()
        async with session.post("/size", data=io.BytesIO(b"x" * 30_000_000)) as answer:
            received = await answer.json()
    assert chunked["size"] == received["size"] == 30_000_000
    assert received["largest"] < 2_000_000


async def test_a_body_is_asked_for_only_when_it_is_wanted() -> None:
    expecting = b"POST /%b HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n"
    async with serving() as (served, _):
        port = served._server.port
        read = await raw(
            port, expecting % b"size", b"body", b"GET /state HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        unread = await raw(port, expecting % b"unread")
    assert read.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert read.endswith(b'"kept"')
    assert unread.startswith(b"HTTP/1.1 202 Accepted\r\n")


async def test_requests_on_one_connection_are_answered_in_order() -> None:
    sent = b"GET /echo/1 HTTP/1.1\r\nhost: x\r\n\r\nGET /echo/2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    async with serving() as (served, _):
        received = await raw(served._server.port, sent)
    assert received.index(b'"rest":"1"') < received.index(b'"rest":"2"')


async def test_a_caller_who_sends_no_more_gets_the_answer() -> None:
    request = b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    async with serving() as (served, _):
        received = await raw(served._server.port, request + request, end=True)
        assert received.count(b"HTTP/1.1 200") == 2
        assert await raw(served._server.port, request[:-1], end=True) == b""


@pytest.mark.parametrize(
    "offer",
    [
        b"GET /rest HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
        b"POST /size HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n",
        b"GET /echo/a HTTP/1.1\r\nUpgrade: websocket\r\n",
    ],
)
async def test_a_protocol_that_is_offered_is_not_taken_up(offer: bytes) -> None:
    last = b"GET /echo/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with serving() as (served, _):
        received = await raw(served._server.port, offer + b"Host: x\r\n\r\n" + last)
    assert received.count(b"HTTP/1.1 ") == 2
    assert b"101" not in received[:12]


async def test_events_come_when_they_are_sent_and_a_caller_may_leave() -> None:
    async with serving() as (_, session):
        async with session.get("/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert await answer.content.readuntil(b"data: 2\n\n") == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        await until(lambda: "events ended" in HEARD)


async def test_a_caller_who_does_not_read_is_waited_for() -> None:
    async with serving() as (_, session), session.get("/flood") as answer:
        await answer.content.readany()
        await asyncio.sleep(0.3)
        assert int(HEARD[0]) < 1000  # of 10,000 pieces


@pytest.mark.parametrize(("name", "path"), [("app", "/raises"), ("silent", "/")])
async def test_an_application_that_gives_no_answer_is_a_500(name: str, path: str) -> None:
    async with serving(name) as (_, session), session.get(path) as answer:
        assert answer.status == 500
        assert "no such page" not in await answer.text()


async def test_an_answer_that_ends_in_the_middle_is_cut_off() -> None:
    async with serving("half") as (_, session):
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.get("/") as answer:
                await answer.read()


async def test_messages_go_both_ways_on_a_websocket() -> None:
    async with serving() as (_, session):
        async with session.ws_connect("/ws", protocols=("digits",)) as socket:
            assert socket.protocol == "digits"
            await socket.send_str("ü")
            assert await socket.receive_str() == "Ü"
            for size in (0, 125, 126, 65_536, 1_000_000):
                sent = bytes(range(256)) * (size // 256) + b"y" * (size % 256)
                await socket.send_bytes(sent)
                assert await socket.receive_bytes() == sent[::-1]
            await socket.ping()
            await socket.send_str("bye")
            assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 4000
        async with session.ws_connect("/ws") as socket:
            await socket.close(code=4001)
        await until(lambda: "left 4001" in HEARD)


async def test_a_websocket_that_is_lost_is_told() -> None:
    async with serving() as (_, session):
        socket = await session.ws_connect("/ws")
        socket._response.close()
        await until(lambda: any(received.startswith("left 10") for received in HEARD))


@pytest.mark.parametrize(("path", "status"), [("/closed", 403), ("/broken", 500), ("/nothing", 403)])
async def test_a_websocket_may_be_refused(path: str, status: int) -> None:
    async with serving() as (_, session):
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await session.ws_connect(path)
    assert error.value.status == status


async def test_a_stop_ends_what_would_not_end_itself() -> None:
    async with serving() as (served, session):
        socket = await session.ws_connect("/ws")
        closing = asyncio.create_task(served.close())
        assert (await socket.receive(timeout=5)).type == aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1001
        await asyncio.wait_for(closing, 5)
    assert HEARD[-1] == "down"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x01a", 1002),  # not masked
        (b"\xc1\x81\0\0\0\0a", 1002),  # compressed, which was not negotiated
        (b"\x83\x81\0\0\0\0a", 1002),  # no such opcode
        (b"\x80\x81\0\0\0\0a", 1002),  # a continuation without a start
        (b"\x09\x81\0\0\0\0a", 1002),  # a ping in parts
        (b"\x81\x81\0\0\0\0\xff", 1007),  # not text
        (b"\x82\xff\xff\0\0\0\0\0\0\0", 1009),  # far too long
    ],
)
async def test_what_is_not_a_websocket_frame_closes_it(frame: bytes, code: int) -> None:
    handshake = (
        b"GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with serving() as (served, _):
        received = await raw(served._server.port, handshake, frame)
    head, _, frame_bytes = received.partition(b"\r\n\r\n")
    assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455, 1.3
    assert frame_bytes[0] == 0x88
    assert int.from_bytes(frame_bytes[2:4], "big") == code


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\n y: z\r\n\r\n"]
)
async def test_what_is_not_http_is_refused(sent: bytes) -> None:
    async with serving() as (served, _):
        assert (await raw(served._server.port, sent)).startswith(b"HTTP/1.1 400 ")


async def test_a_broken_body_is_refused() -> None:
    sent = b"POST /size HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
    async with serving() as (served, _):
        assert (await raw(served._server.port, sent)).startswith(b"HTTP/1.1 400 ")


async def test_a_broken_body_cuts_a_started_response_off() -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    async with serving("answers_before_it_reads") as (served, _):
        whole = await raw(served._server.port, head.replace(b"host", b"connection: close\r\nhost") + b"0\r\n\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", served._server.port)
        writer.write(head)
        started = await reader.readuntil(b"first\r\n")
        writer.write(b"zz\r\n")
        rest = await asyncio.wait_for(reader.read(), 15)
        writer.close()
    assert whole.endswith(b"\r\n\r\n5\r\nfirst\r\n4\r\nlast\r\n0\r\n\r\n")
    assert started.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest == b""


@pytest.mark.parametrize(
    ("sent", "silence", "received"),
    [(b"", connection.KEEP_ALIVE_SECONDS, b""), (STATE[:20], connection.STALL_TIMEOUT_SECONDS, b"HTTP/1.1 408 ")],
)
async def test_a_peer_that_stops_sending_is_disconnected(sent: bytes, silence: float, received: bytes) -> None:
    async with serving() as (served, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", served._server.port)
        writer.write(sent)
        connections = served._server.connections
        await until(lambda: any(bool(sent) != one.parser.is_idle for one in connections))
        (one,) = connections
        now = asyncio.get_running_loop().time()
        one.check_timeouts(now + silence - 1)
        assert not one._closing
        one.check_timeouts(now + silence + 1)
        assert (await reader.read())[: len(received) or None] == received
        writer.close()


async def test_a_silent_websocket_is_pinged_and_then_closed() -> None:
    async with serving() as (served, session):
        socket = await session.ws_connect("/ws", autoping=False)
        (one,) = served._server.connections
        now = asyncio.get_running_loop().time()
        one.check_timeouts(now + PING_INTERVAL_SECONDS + 1)
        assert (await socket.receive()).type == aiohttp.WSMsgType.PING
        one.check_timeouts(now + PING_TIMEOUT_SECONDS + 1)
        await until(lambda: "left 1006" in HEARD)


async def test_a_stop_waits_for_a_running_request_and_refuses_others() -> None:
    async with serving() as (served, session):
        async with session.get("/events") as running:
            await running.content.readuntil(b"data: 2\n\n")
            reader, writer = await asyncio.open_connection("127.0.0.1", served._server.port)
            await until(lambda: len(served._server.connections) == 2)
            closing = asyncio.create_task(served.close())
            await until(lambda: served._server.closing)
            writer.write(b"GET /state HTTP/1.1\r\nhost: x\r\n\r\n")
            refused = await reader.read()
            GO[-1].set()
            assert await running.content.read() == b""
        await asyncio.wait_for(closing, 5)
        writer.close()
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"connection: close\r\n" in refused
