"""One HTTP request of an ASGI application and its response, both streamed."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..http.framing import Headers
from ..http.http1 import RequestHead
from ..http.response import STATUS_LINES
from .lifespan import Message

BODILESS_STATUSES = (204, 304)


class HttpTransport(Protocol):
    """The part of the connection that a request needs."""

    async def receive_body(self) -> tuple[bytes, bool]:
        """Wait for the next part of the request's body; also returns whether it was the last."""

    async def write(self, data: bytes) -> None:
        """Write, and wait while the caller does not read."""

    async def wait_disconnected(self) -> None:
        """Return when the caller has disconnected."""

    def date_line(self) -> bytes: ...


class RequestCycle:
    """`complete`: the response is written completely. `keep_alive`: the connection can be used again."""

    def __init__(self, head: RequestHead, transport: HttpTransport, *, keep_alive: bool) -> None:
        self._transport = transport
        self._minor = head.minor
        self._is_head = head.method == b"HEAD"
        self._body_received = False
        self._start: Message | None = None
        self._chunked = False
        self._finished = asyncio.Event()
        self.keep_alive = keep_alive
        self.started = False
        self.complete = False

    async def receive(self) -> Message:
        if not self._body_received:
            part, self._body_received = await self._transport.receive_body()
            return {"type": "http.request", "body": part, "more_body": not self._body_received}
        disconnected = asyncio.ensure_future(self._transport.wait_disconnected())
        finished = asyncio.ensure_future(self._finished.wait())
        try:
            await asyncio.wait([disconnected, finished], return_when=asyncio.FIRST_COMPLETED)
        finally:
            disconnected.cancel()
            finished.cancel()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        message_type = message["type"]
        if message_type == "http.response.start" and self._start is None:
            self._start = message
        elif message_type == "http.response.body" and self._start is not None and not self.complete:
            await self._send_body(self._start, message.get("body", b""), bool(message.get("more_body")))
        else:
            raise RuntimeError(f"unexpected message {message_type} in an HTTP response")

    async def send_error(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a response in the application's place, unless its own has started."""
        if not self.started:
            fields = [(b"content-type", b"application/problem+json"), *headers]
            await self._send_body({"status": status, "headers": fields}, body, more_body=False)

    async def _send_body(self, start: Message, body: bytes, more_body: bool) -> None:
        head = b"" if self.started else self._build_head(start, None if more_body else len(body))
        self.started = True
        if self._is_head or start["status"] in BODILESS_STATUSES:
            content = b""
        elif self._chunked:
            content = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more_body else b"0\r\n\r\n")
        else:
            content = body
        self.complete = not more_body
        if head or content:
            await self._transport.write(head + content)
        if self.complete:
            self._finished.set()

    def _build_head(self, start: Message, length: int | None) -> bytes:
        """Build status line and headers; `length` is that of the body, None if it is not known yet."""
        status = int(start["status"])
        fields = [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]
        names = {name for name, _ in fields}
        lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        if b"date" not in names:
            lines.append(self._transport.date_line())
        lines += [b"%b: %b\r\n" % field for field in fields if field[0] not in (b"connection", b"transfer-encoding")]
        if b"content-length" not in names and status not in BODILESS_STATUSES:
            lines += self._framing_headers(length)
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        elif self._minor == 0:
            lines.append(b"connection: keep-alive\r\n")
        return b"".join([*lines, b"\r\n"])

    def _framing_headers(self, length: int | None) -> list[bytes]:
        if length is not None and not self._is_head:
            return [b"content-length: %d\r\n" % length]
        if self._minor == 0:
            self.keep_alive = False
            return []
        self._chunked = True
        return [b"transfer-encoding: chunked\r\n"]
