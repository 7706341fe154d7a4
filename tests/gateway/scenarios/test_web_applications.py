"""Web applications behind the gateway: every path and method, streams and WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from mlmesh_component.asgi_component import ApplicationComponent
from mlmesh_component.settings import Settings
from yarl import URL

from tests.component.applications import GO, HEARD, afresh
from tests.gateway.mesh import ALICE, Mesh, app_document, publish_app, wait_until

TOKEN = "token"


@asynccontextmanager
async def application() -> AsyncIterator[ApplicationComponent]:
    afresh()
    served = ApplicationComponent(
        Settings(app="tests.component.applications:app", host="127.0.0.1", port=0, token=TOKEN)
    )
    await served.listen()
    await served.load()
    try:
        yield served
    finally:
        await served.close()


def application_at(port: int, **over: Any) -> dict[str, Any]:
    app = app_document(port)
    component = app["components"]["classifier"]
    component["endpoints"][0]["token"] = TOKEN
    component |= {"own_routes": True, "concurrency": 100, **over}
    return app


@asynccontextmanager
async def serve_application(mesh: Mesh, **over: Any) -> AsyncIterator[ApplicationComponent]:
    async with application() as served:
        await publish_app(mesh, application_at(served._server.port, **over))
        yield served


async def test_every_path_and_method_is_the_applications_own(mesh: Mesh) -> None:
    async with serve_application(mesh):
        status, _, reply = await mesh.call("PATCH", "/demo/digits/echo/a%2Fb?c=1", data=b"x", headers=ALICE)
        assert (status, reply["method"], reply["rest"], reply["query"], reply["body"]) == (
            200,
            "PATCH",
            "a/b",
            "c=1",
            "x",
        )
        assert reply["headers"]["x-mlmesh-user"] == "alice"
        assert "authorization" not in reply["headers"]
        _, _, reply = await mesh.call("GET", "/demo/digits/", headers=ALICE)
        assert reply["base"].endswith("/demo/digits/")
        for method, query in (("GET", ""), ("HEAD", "?a=%20b")):
            status, headers, _ = await mesh.call(method, "/demo/digits" + query, headers=ALICE)
            assert (status, headers["Location"]) == (307, "digits/" + query)
        status, headers, _ = await mesh.call("GET", "/demo/digits/docs", headers=ALICE)
        assert (status, headers.get("server")) == (200, None)
        assert (await mesh.call("GET", "/demo/digits/predict", headers=ALICE))[0] == 404
        assert (await mesh.call("GET", "/demo/digits/healthz", headers=ALICE))[0] == 404


async def test_nobody_comes_in_without_credentials(mesh: Mesh) -> None:
    async with serve_application(mesh):
        assert (await mesh.call("GET", "/demo/digits/"))[0] == 401
        assert (await mesh.call("GET", "/demo/keyed/", headers={"X-API-Key": "key-of-bob"}))[0] == 200
        application_auth = {"Authorization": "Bearer the-application's-own"}
        _, _, reply = await mesh.call(
            "GET", "/demo/open/echo/", headers={**application_auth, "X-Forwarded-Prefix": "/forged"}
        )
        assert reply["headers"]["authorization"] == application_auth["Authorization"]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await mesh.session.ws_connect(mesh.url + "/demo/digits/ws")


async def test_a_component_that_is_a_function_has_no_paths_of_its_own(mesh: Mesh) -> None:
    assert (await mesh.call("GET", "/demo/digits/other", headers=ALICE))[0] == 404
    assert (await mesh.call("POST", "/demo/digits", headers=ALICE))[0] == 404
    with pytest.raises(aiohttp.WSServerHandshakeError, match="405"):
        await mesh.session.ws_connect(mesh.url + "/demo/digits/predict", headers=ALICE)


async def test_large_bodies_stream_through(mesh: Mesh) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * 100_000

    async with serve_application(mesh):
        status, _, reply = await mesh.call("POST", "/demo/digits/size", data=pieces(), headers=ALICE)
    assert (status, reply["size"]) == (200, 30_000_000)
    assert reply["largest"] < 2_000_000


async def test_events_come_at_once_and_a_caller_may_leave(mesh: Mesh) -> None:
    async with serve_application(mesh):
        async with mesh.session.get(mesh.url + "/demo/digits/events", headers=ALICE) as answer:
            assert await answer.content.readuntil(b"data: 2\n\n") == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        await wait_until(lambda: "events ended" in HEARD)


async def test_an_answer_may_take_longer_than_the_deadline_once_it_has_begun(mesh: Mesh) -> None:
    async with (
        serve_application(mesh, timeout=1.0),
        mesh.session.get(mesh.url + "/demo/digits/events", headers={**ALICE, "X-Request-Timeout": "1"}) as answer,
    ):
        await answer.content.readuntil(b"data: 2\n\n")
        await asyncio.sleep(2.3)
        GO[-1].set()
        assert await answer.content.read() == b""


async def test_messages_go_both_ways(mesh: Mesh) -> None:
    async with serve_application(mesh):
        async with mesh.session.ws_connect(
            mesh.url + "/demo/digits/ws", headers=ALICE, protocols=("digits",), max_msg_size=0
        ) as socket:
            assert socket.protocol == "digits"
            for size in (1, 100_000, 5_000_000):
                await socket.send_bytes(b"ab" * size)
                assert len(await socket.receive_bytes()) == 2 * size
                await socket.send_str("ü")
                assert await socket.receive_str() == "Ü"
        await wait_until(lambda: any(reply.startswith("left") for reply in HEARD))


async def test_messages_that_come_before_the_answer_are_not_lost(mesh: Mesh) -> None:
    offer = (
        b"GET /demo/digits/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Authorization: %b\r\n\r\n" % ALICE["Authorization"].encode()
    )
    message = b"\x82\xff" + (300_000).to_bytes(8, "big") + bytes(4) + b"a" * 300_000
    async with serve_application(mesh):
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(mesh.url).port)
        writer.write(offer + message[:10])
        writer.write(message[10:])
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            assert await reader.readexactly(10) == b"\x82\x7f" + (300_000).to_bytes(8, "big")
            assert await reader.readexactly(300_000) == b"a" * 300_000
        writer.close()


async def test_a_message_that_is_too_large_is_told(mesh: Mesh) -> None:
    async with serve_application(mesh):
        socket = await mesh.session.ws_connect(mesh.url + "/demo/digits/ws", headers=ALICE)
        await socket.send_bytes(b"a" * 20_000_000)
        assert (await socket.receive(timeout=10)).data == 1009


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_only_websockets_are_tunnelled(mesh: Mesh, method: str) -> None:
    async with serve_application(mesh):
        offer = {
            **ALICE,
            "Connection": "Upgrade, HTTP2-Settings",
            "Upgrade": "h2c",
            "HTTP2-Settings": "AAEAAEAAAAIAAAAA",
        }
        status, _, reply = await mesh.call(method, "/demo/digits/echo/a", data=b"x", headers=offer)
    assert (status, reply["method"], reply["body"]) == (200, method, "x")
    assert not {"connection", "upgrade", "http2-settings"} & set(reply["headers"])


async def test_a_caller_who_is_lost_is_told_to_the_application(mesh: Mesh) -> None:
    async with serve_application(mesh):
        socket = await mesh.session.ws_connect(mesh.url + "/demo/digits/ws", headers=ALICE)
        socket._response.close()
        await wait_until(lambda: any(reply.startswith("left") for reply in HEARD))


async def test_an_instance_that_stops_ends_its_sockets(mesh: Mesh) -> None:
    async with serve_application(mesh) as served:
        socket = await mesh.session.ws_connect(mesh.url + "/demo/digits/ws", headers=ALICE)
        closing = asyncio.create_task(served.close())
        assert (await socket.receive(timeout=5)).type == aiohttp.WSMsgType.CLOSE
        await asyncio.wait_for(closing, 5)
        assert socket.close_code == 1001


@pytest.mark.parametrize(("path", "status"), [("closed", 403), ("broken", 500), ("nothing", 403)])
async def test_a_refusal_of_the_application_is_passed_on(mesh: Mesh, path: str, status: int) -> None:
    async with serve_application(mesh):
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await mesh.session.ws_connect(f"{mesh.url}/demo/digits/{path}", headers=ALICE)
    assert error.value.status == status


async def test_as_many_calls_as_the_manifest_says_and_no_queue(mesh: Mesh) -> None:
    async with serve_application(mesh, concurrency=1):
        socket = await mesh.session.ws_connect(mesh.url + "/demo/digits/ws", headers=ALICE)
        status, headers, _ = await mesh.call("GET", "/demo/digits/", headers=ALICE)
        assert (status, "Retry-After" in headers) == (429, True)
        await socket.close()
        async with asyncio.timeout(10):
            while (await mesh.call("GET", "/demo/digits/", headers=ALICE))[0] != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
