"""One HTTP request to the application and what it answers, both in pieces."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..http.framing import Headers
from ..http.http1 import Head
from ..http.response import STATUS_LINES
from .lifespan import Message

BODILESS = (204, 304)


class Wire(Protocol):
    """The connection, as a request sees it."""

    async def body(self) -> tuple[bytes, bool]:
        """The next piece of the request's body, and whether it was the last; waits for it."""

    async def write(self, data: bytes) -> None:
        """Waits while the caller does not read."""

    async def gone(self) -> None:
        """Returns when the caller has gone."""

    def date(self) -> bytes: ...


class Cycle:
    """`complete` when the whole answer is written; `keep`: whether the connection can be used again."""

    def __init__(self, head: Head, wire: Wire, *, keep: bool) -> None:
        self._wire = wire
        self._minor = head.minor
        self._silent = head.method == b"HEAD"
        self._read = False
        self._start: Message | None = None
        self._chunked = False
        self._over = asyncio.Event()
        self.keep = keep
        self.began = False
        self.complete = False

    async def receive(self) -> Message:
        if not self._read:
            piece, self._read = await self._wire.body()
            return {"type": "http.request", "body": piece, "more_body": not self._read}
        gone = asyncio.ensure_future(self._wire.gone())
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait([gone, over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            over.cancel()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = message
        elif kind == "http.response.body" and self._start is not None and not self.complete:
            await self._body(self._start, message.get("body", b""), bool(message.get("more_body")))
        else:
            raise RuntimeError(f"{kind} is not what comes next in an answer")

    async def refuse(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer in the application's place, unless its own answer has begun."""
        if not self.began:
            fields = [(b"content-type", b"application/problem+json"), *headers]
            await self._body({"status": status, "headers": fields}, body, more=False)

    async def _body(self, start: Message, body: bytes, more: bool) -> None:
        head = b"" if self.began else self._head(start, None if more else len(body))
        self.began = True
        if self._silent or start["status"] in BODILESS:
            content = b""
        elif self._chunked:
            content = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        else:
            content = body
        self.complete = not more
        if head or content:
            await self._wire.write(head + content)
        if self.complete:
            self._over.set()

    def _head(self, start: Message, length: int | None) -> bytes:
        """`length` of the body, where it is known by now."""
        status = int(start["status"])
        fields = [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]
        names = {name for name, _ in fields}
        lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        if b"date" not in names:
            lines.append(self._wire.date())
        lines += [b"%b: %b\r\n" % field for field in fields if field[0] not in (b"connection", b"transfer-encoding")]
        if b"content-length" not in names and status not in BODILESS:
            lines += self._framing(length)
        if not self.keep:
            lines.append(b"connection: close\r\n")
        elif self._minor == 0:
            lines.append(b"connection: keep-alive\r\n")
        return b"".join([*lines, b"\r\n"])

    def _framing(self, length: int | None) -> list[bytes]:
        if length is not None and not self._silent:
            return [b"content-length: %d\r\n" % length]
        if self._minor == 0:
            self.keep = False
            return []
        self._chunked = True
        return [b"transfer-encoding: chunked\r\n"]
