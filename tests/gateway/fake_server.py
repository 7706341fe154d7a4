"""A fake HTTP server: sends configured replies and records the requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from libs.common.http.server import bind, run_server, socket_url


@dataclass
class ReceivedRequest:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    status: int = 200
    document: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] | None = None
    gate: asyncio.Event | None = None
    """Set to release the last piece."""


S = TypeVar("S", bound="FakeServer")


@dataclass
class FakeServer:
    url: str = ""
    port: int = 0
    requests: list[ReceivedRequest] = field(default_factory=list)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    never_responds: bool = False
    """Send no response; wait until the client disconnects."""
    holding: asyncio.Event = field(default_factory=asyncio.Event)

    async def build_reply(self, request: ReceivedRequest) -> Reply:
        return Reply(document={"path": request.target})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        request = await _read_request(scope, receive)
        self.requests.append(request)
        if self.never_responds:
            self.holding.set()
            while (await receive())["type"] != "http.disconnect":
                pass
            self.disconnected.set()
            return
        await _send_reply(await self.build_reply(request), send)


async def _lifespan(receive: Any, send: Any) -> None:
    for _ in range(2):
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


async def _read_request(scope: Any, receive: Any) -> ReceivedRequest:
    body, has_more = b"", True
    while has_more:
        message = await receive()
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
    query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    return ReceivedRequest(scope["method"], scope["raw_path"].decode() + query, headers, body)


async def _send_reply(reply: Reply, send: Any) -> None:
    pieces = reply.pieces if reply.pieces is not None else [orjson.dumps(reply.document)]
    headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    for number, piece in enumerate(pieces, 1):
        if number == len(pieces) and reply.gate is not None:
            await reply.gate.wait()
        await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})


@asynccontextmanager
async def serve(server: S, port: int = 0) -> AsyncIterator[S]:
    bound = bind("127.0.0.1", port)
    server.url, server.port = socket_url(bound), bound.getsockname()[1]
    async with run_server(server, bound):
        yield server
