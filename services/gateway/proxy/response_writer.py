"""The answer to one request: started once, ours or passed on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.types import Send

from libs.common.errors import MeshError, problem
from libs.common.http.uvicorn.request_cycle import BODY_FOLLOWS
from services.gateway.http_errors import headers_of
from services.gateway.proxy.request import HOP_BY_HOP, OURS, Request
from services.gateway.proxy.tunnel import UPGRADE
from services.gateway.proxy.upstream_connection import Connection, Headers

BATCH = b"x-mlmesh-batch"
CORS_PREFIX = b"access-control-"
HTML = "text/html; charset=utf-8"
NO_QUEUE = b"queue;dur=0.0"
TIMING = b"server-timing"
NOT_STARTED = b"x-mlmesh-not-started"
NOT_PASSED_ON = HOP_BY_HOP | {b"date", b"server", b"x-request-id", NOT_STARTED}


class Answer:
    __slots__ = ("_id", "_send", "_timings", "batch", "cors", "queued", "sent", "status", "tensors")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._id = (b"x-request-id", request_id.encode())
        self.status = 0
        """0 until it has started."""
        self.tensors = False
        """Refusals have the form of the Open Inference Protocol."""
        self.cors: Headers = []
        """Told with whatever is answered, which then says nothing of its own about pages of other origins."""
        self.sent = 0
        """Bytes of the body."""
        self.queued = 0.0
        """Seconds that the call waited for its turn, as its instance says."""
        self.batch = 0
        """Calls in its batch, as its instance says; 0 without batching."""
        self._timings: list[bytes] = []

    def took(self, what: bytes, seconds: float) -> None:
        """Told to the caller as `Server-Timing`; nothing once the answer has started."""
        self._timings.append(b"%b;dur=%.1f" % (what, seconds * 1000))

    async def pass_on(self, upstream: Connection, *, ours: bool) -> None:
        """The answer that comes over `upstream`, piece by piece. What is not `ours` may not say what only we may."""
        headers, told = [], bool(self.cors)
        for header in upstream.headers:
            if header[0] == TIMING:
                self._timings.append(header[1])
                self.queued = _queued(header[1])
            elif header[0] == BATCH:
                self.batch = int(_measure(header[1]))
            elif told and header[0].startswith(CORS_PREFIX):
                continue
            elif header[0] not in NOT_PASSED_ON and (ours or not header[0].startswith(OURS)):
                headers.append(header)
        await self._start(upstream.status, headers, body_follows=upstream.at_hand)
        more = True
        while more:
            piece = await upstream.chunk()
            more = not upstream.ended
            self.sent += len(piece)
            await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    async def whole(self, status: int, content: bytes, fields: Mapping[str, str]) -> None:
        every = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in fields.items()]
        self.sent = len(content)
        headers = [*every, (b"content-length", str(len(content)).encode())]
        await self._start(status, headers, body_follows=True)
        await self._send({"type": "http.response.body", "body": content, "more_body": False})

    async def json(self, document: Any, status: int = 200) -> None:
        await self.whole(status, orjson.dumps(document), {"Content-Type": "application/json"})

    async def permit(self, permission: Headers) -> None:
        """A page of another origin may send what its browser has asked about."""
        await self._start(204, permission, body_follows=True)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def page(self, html: str) -> None:
        await self.whole(200, html.encode(), {"Content-Type": HTML})

    async def moved(self, place: str) -> None:
        """To the page that a browser wants."""
        await self.whole(303, b"", {"Location": place})

    async def refuse_visitor(self, error: MeshError, page: str) -> None:
        """A refusal that a person reads in a browser."""
        await self.whole(error.status, page.encode(), {**headers_of(error), "Content-Type": HTML})

    async def redirect(self, request: Request) -> None:
        """To the same address with a slash behind it; named relatively, as whoever stands before us has it."""
        last = request.raw_path.rpartition("/")[2] + "/"
        await self.whole(307, b"", {"Location": request.target(last).decode("latin-1")})

    async def refuse(self, error: MeshError) -> None:
        document, headers = problem(error, self._id[1].decode()), headers_of(error)
        if self.tensors:
            document = {"error": document["detail"], **document}
            headers["Content-Type"] = "application/json"
        await self.whole(error.status, orjson.dumps(document), headers)

    def switching(self, upstream: Connection) -> bytes:
        """The head of an answer after which the connection no longer speaks HTTP."""
        self.status = upstream.status
        every = upstream.headers
        kept = [header for header in every if header[0] not in NOT_PASSED_ON and not header[0].startswith(OURS)]
        return b"".join(
            [
                b"HTTP/1.1 101 Switching Protocols\r\n",
                *[b"%b: %b\r\n" % header for header in (*kept, *UPGRADE, self._id)],
                b"\r\n",
            ]
        )

    async def _start(self, status: int, headers: Headers, *, body_follows: bool) -> None:
        self.status = status
        headers.append(self._id)
        if self.cors:
            headers.extend(self.cors)
        if self._timings:
            headers.append((TIMING, b", ".join(self._timings)))
        message = {"type": "http.response.start", "status": status, "headers": headers}
        if body_follows:
            message[BODY_FOLLOWS] = True
        await self._send(message)


def _queued(timing: bytes) -> float:
    name, _, milliseconds = timing.partition(b";dur=")
    return _measure(milliseconds) / 1000 if timing != NO_QUEUE and name == b"queue" else 0.0


def _measure(told: bytes) -> float:
    """A number that an instance tells of itself; 0 when it cannot be counted."""
    try:
        found = float(told)
    except ValueError:
        return 0.0
    return found if 0.0 <= found < math.inf else 0.0
