"""One HTTP request of an ASGI application and its response, both streamed."""

from __future__ import annotations

from ..http.connection import Connection
from ..http.framing import Headers, ProtocolError, Request
from ..http.response import LAST_CHUNK, STATUS_LINES, encode_chunk
from .exchange import ApplicationExchange
from .lifespan import Message

BODILESS_STATUSES = (204, 304)


class RequestCycle(ApplicationExchange):
    __slots__ = ("_body_received", "_chunked", "_complete", "_keep_alive", "_start")

    def __init__(self, request: Request, connection: Connection) -> None:
        super().__init__(request, connection)
        self._body_received = False
        self._start: Message | None = None
        self._chunked = False
        self._keep_alive = request.keep_alive and not connection.owner.closing
        self._complete = False

    async def receive(self) -> Message:
        if not self._body_received:
            part, self._body_received = await self.receive_body()
            return {"type": "http.request", "body": part, "more_body": not self._body_received}
        self.connection.resume_reading()
        while not self.disconnected and not self._complete:
            await self.wait_for_change()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        message_type = message["type"]
        if message_type == "http.response.start" and self._start is None:
            self._start = message
        elif message_type == "http.response.body" and self._start is not None and not self._complete:
            await self._send_body(self._start, message.get("body", b""), bool(message.get("more_body")))
        else:
            raise RuntimeError(f"unexpected message {message_type} in an HTTP response")

    async def send_error(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a response in the application's place, unless its own has started."""
        if not self.response_started:
            fields = [(b"content-type", b"application/problem+json"), *headers]
            await self._send_body({"status": status, "headers": fields}, body, more_body=False)

    def finish(self) -> None:
        """Go on with the next request if this one was read and answered completely; close otherwise."""
        if self._complete:
            self.connection.finish_exchange(self._drop_body() and self._keep_alive)
        else:
            self.connection.abort_exchange()

    def _drop_body(self) -> bool:
        """Drop what has been received of a body that the application did not read; return whether that was all."""
        try:
            return self.parser.is_between_requests or self.parser.next_body_part()[1]
        except ProtocolError:
            return False

    async def _send_body(self, start: Message, body: bytes, more_body: bool) -> None:
        head = b"" if self.response_started else self._build_head(start, None if more_body else len(body))
        if self.request.method == b"HEAD" or start["status"] in BODILESS_STATUSES:
            content = b""
        elif self._chunked:
            content = encode_chunk(body) + (b"" if more_body else LAST_CHUNK)
        else:
            content = body
        self._complete = not more_body
        if head or content:
            await self.write(head + content)
        if self._complete:
            self.wake()

    def _build_head(self, start: Message, length: int | None) -> bytes:
        """Build status line and headers; `length` is that of the body, None if it is not known yet."""
        status = int(start["status"])
        fields = [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]
        names = {name for name, _ in fields}
        lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        if b"date" not in names:
            lines.append(self.connection.date_line())
        lines += [b"%b: %b\r\n" % field for field in fields if field[0] not in (b"connection", b"transfer-encoding")]
        if b"content-length" not in names and status not in BODILESS_STATUSES:
            lines += self._framing_headers(length)
        if not self._keep_alive:
            lines.append(b"connection: close\r\n")
        elif self.minor == 0:
            lines.append(b"connection: keep-alive\r\n")
        return b"".join([*lines, b"\r\n"])

    def _framing_headers(self, length: int | None) -> list[bytes]:
        if length is not None and self.request.method != b"HEAD":
            return [b"content-length: %d\r\n" % length]
        if self.minor == 0:
            self._keep_alive = False
            return []
        self._chunked = True
        return [b"transfer-encoding: chunked\r\n"]
