"""Responses that last end within seconds when their caller may no longer get them."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from services.gateway.auth import tokens
from services.gateway.proxy import access_watch
from tests.gateway.fake_server import FakeServer, ReceivedRequest, Reply
from tests.gateway.mesh import TOKENS, Mesh, bearer_auth
from tests.gateway.scenarios.test_web_applications import serve_application

LOGS = "/api/v1/apps/demo/components/classifier/logs?follow=true"
RUNS = "/demo/runs/r_1/events"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_watch, "INTERVAL_S", 0.1)
    monkeypatch.setattr(tokens, "FRESH_S", 0.1)


class Stream:
    """Sends one piece, and the last when `gate` is set."""

    def __init__(self, server: FakeServer) -> None:
        self.gate = asyncio.Event()
        self._answer = server.build_reply
        server.build_reply = self  # type: ignore[method-assign]

    async def __call__(self, request: ReceivedRequest) -> Reply:
        if request.target.startswith("/internal/table"):
            return await self._answer(request)
        return Reply(pieces=[b"first\n", b"last\n"], gate=self.gate)


async def is_cut(answer: aiohttp.ClientResponse) -> bool:
    assert await answer.content.readline() == b"first\n"
    try:
        async with asyncio.timeout(20):
            await answer.read()
    except aiohttp.ClientError:
        return True
    return False


@pytest.mark.parametrize("path", [LOGS, RUNS])
async def test_a_stream_ends_when_its_token_is_revoked(mesh: Mesh, path: str) -> None:
    stream = Stream(mesh.scheduler)
    async with mesh.session.get(mesh.url + path, headers=bearer_auth("owner")) as answer:
        await asyncio.sleep(0.5)
        mesh.registry.revoked.add("owner")
        assert await is_cut(answer)
    stream.gate.set()


@pytest.mark.parametrize("path", [LOGS, RUNS])
async def test_a_stream_ends_when_the_role_is_taken_away(
    mesh: Mesh, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Stream(mesh.scheduler)
    async with mesh.session.get(mesh.url + path, headers=bearer_auth("owner")) as answer:
        monkeypatch.setitem(TOKENS, "owner", ["write:other"])
        assert await is_cut(answer)
    stream.gate.set()


@pytest.mark.parametrize("path", [LOGS, RUNS])
async def test_a_stream_goes_on_while_the_role_is_there(mesh: Mesh, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(mesh.scheduler)
    monkeypatch.setitem(TOKENS, "owner", ["write:demo", "write:other"])
    async with mesh.session.get(mesh.url + path, headers=bearer_auth("owner")) as answer:
        monkeypatch.setitem(TOKENS, "owner", ["write:demo", "read:new"])
        await asyncio.sleep(0.5)
        stream.gate.set()
        assert not await is_cut(answer)


async def test_who_waits_for_an_answer_is_told(mesh: Mesh) -> None:
    mesh.scheduler.never_responds = True
    waiting = asyncio.create_task(mesh.call("GET", LOGS, headers=bearer_auth("owner")))
    await mesh.scheduler.holding.wait()
    mesh.registry.revoked.add("owner")
    async with asyncio.timeout(20):
        status, _, problem = await waiting
    assert (status, "revoked" in problem["detail"]) == (401, True)
    mesh.scheduler.never_responds = False


async def test_a_websocket_closes_and_is_not_for_who_only_reads(mesh: Mesh) -> None:
    async with serve_application(mesh):
        url = mesh.url + "/demo/digits/ws"
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await mesh.session.ws_connect(url, headers=bearer_auth("reader"))
        async with mesh.session.ws_connect(url, headers=bearer_auth("owner")) as socket:
            await socket.send_str("ü")
            assert await socket.receive_str() == "Ü"
            mesh.registry.revoked.add("owner")
            assert (await socket.receive(timeout=20)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE)
