"""One request and its response on a connection, between the parser and the ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, MutableSet
from typing import Any

from starlette.types import Message
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from libs.common.errors import SlowBody

JOIN_LIMIT = 16 * 1024
"""Largest body part that is copied to join it with the head in one write."""
RESPONSE_BODY_FOLLOWS = "body_follows"
"""Key of `http.response.start`: the first body part follows immediately, so both are written together."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BODY_PROGRESS_TIMEOUT_S = 30.0
"""How long the application may wait for the next `BODY_PROGRESS_BYTES` of a body, or for its end."""
BODY_PROGRESS_BYTES = 4096
LINGER_S = 2.0
"""How long data after a rejected request is received and discarded (lingering close)."""
DRAIN_S = 30.0
"""How long the rest of a request is received and discarded after an early response: a TCP reset would destroy the
response for a client that sends everything before it reads."""
DISCONNECTED = {"type": "http.disconnect"}
FAILURE_RESPONSE: tuple[Message, Message] = (
    {"type": "http.response.start", "status": 500, "headers": [(b"connection", b"close")]},
    {"type": "http.response.body", "body": b"Internal Server Error"},
)
_log = logging.getLogger("uvicorn.error")


class BadResponse(RuntimeError):
    """The application violates ASGI."""


class RequestResponseCycle:
    """Replaces uvicorn's class of this name: the same interfaces at a fraction of the cost."""

    __slots__ = (
        "_body_wait_s", "_chunked", "_default_headers", "_end_sent", "_expects_continue", "_flow", "_head", "_loop",
        "_no_body", "_on_response", "_progress_due", "_readable", "_remaining", "_task", "_transport", "body",
        "body_size", "disconnected", "framed_size", "has_written", "keep_alive", "more_body", "response_complete",
        "response_started", "scope",
    )  # fmt: skip

    def __init__(
        self,
        scope: Any,
        transport: asyncio.Transport,
        flow: FlowControl,
        loop: asyncio.AbstractEventLoop,
        default_headers: list[tuple[bytes, bytes]],
        on_response: Callable[[], None],
        *,
        expects_continue: bool,
        keep_alive: bool,
    ) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self.body = bytearray()
        self.more_body = True
        self.body_size = 0
        """Received bytes of the body."""
        self.framed_size = 0
        """Received bytes of the body with its framing, except those of the last read."""
        self.has_written = False
        """Whether something was written since the last check of the client."""
        self._progress_due = BODY_PROGRESS_BYTES
        """Size of the body at which the next progress is due."""
        self._body_wait_s = 0.0
        """Seconds that the application has waited for this progress."""
        self._transport = transport
        self._flow = flow
        self._loop = loop
        self._default_headers = default_headers
        self._on_response = on_response
        self._expects_continue = expects_continue
        self._end_sent = False
        self._task: asyncio.Task[None] | None = None
        self._readable: asyncio.Event | None = None
        self._head: bytes | None = None
        """The encoded head of a started response until it is written."""
        self.response_started = False
        self._chunked = False
        self._remaining: int | None = None
        """Remaining bytes of a response body with content-length."""
        self._no_body = scope["method"] == "HEAD"

    @property
    def message_event(self) -> RequestResponseCycle:
        """For uvicorn's protocol, which calls `set` on it."""
        return self

    def set(self) -> None:
        """Wakes `receive`."""
        if self._readable is not None:
            self._readable.set()

    def receive_body(self, body: bytes) -> None:
        """Adds a part of the request body."""
        self.body_size += len(body)
        if not self.response_complete:
            self.body += body
            self.set()

    def end_body(self) -> None:
        """Ends the request body."""
        self.more_body = False
        if self.response_complete and not self.keep_alive:
            self._transport.close()  # nothing remains to be drained
        self.set()

    def disconnect(self) -> None:
        """Makes the application see a disconnected client."""
        self.disconnected, self.more_body = True, False
        self.set()

    def start(self, app: Any, tasks: MutableSet[asyncio.Task[None]]) -> None:
        """Runs the application; `tasks` references its task until it ends."""
        self._task = task = self._loop.create_task(self._run_app(app, tasks))
        tasks.add(task)

    async def _run_app(self, app: Any, tasks: MutableSet[asyncio.Task[None]]) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            _log.error("Application crashed", exc_info=error)
            if isinstance(error, asyncio.CancelledError):
                self._transport.close()
                raise
            await self._send_failure()
        else:
            if not self.response_complete and not self.disconnected:
                _log.error("Application returned without a complete response")
                await self._send_failure()
        finally:
            if self._task is not None:
                tasks.discard(self._task)

    async def _send_failure(self) -> None:
        if self.response_started:
            self._transport.close()
        else:
            for message in FAILURE_RESPONSE:
                await self.send(message)

    async def receive(self) -> Any:
        """Raises SlowBody."""
        if self._expects_continue and not self._transport.is_closing():
            self._transport.write(CONTINUE)
        self._expects_continue = False
        while not self.disconnected and not self.response_complete:
            if self.body or not (self.more_body or self._end_sent):
                body, self.body = bytes(self.body), bytearray()
                self._end_sent = not self.more_body
                return {"type": "http.request", "body": body, "more_body": self.more_body}
            self._flow.resume_reading()
            if self._readable is None:
                self._readable = asyncio.Event()
            self._readable.clear()
            await (self._wait_for_body() if self.more_body else self._readable.wait())
        return DISCONNECTED

    async def _wait_for_body(self) -> None:
        """Waits for more of the body. Only this time counts, not the time between calls of `receive`."""
        assert self._readable is not None  # noqa: S101  `receive` created it
        if self.body_size >= self._progress_due:
            self._progress_due, self._body_wait_s = self.body_size + BODY_PROGRESS_BYTES, 0.0
        started = self._loop.time()
        try:
            async with asyncio.timeout(BODY_PROGRESS_TIMEOUT_S - self._body_wait_s):
                await self._readable.wait()
        except TimeoutError as error:
            self.keep_alive = False
            raise SlowBody() from error
        self._body_wait_s += self._loop.time() - started

    async def send(self, message: Any) -> None:
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.body" and self.response_started and not self.response_complete:
            self._write_body(message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.start" and not self.response_started:
            self.response_started, self._expects_continue = True, False
            self._head = self._encode_head(message)
            if RESPONSE_BODY_FOLLOWS not in message:
                self._loop.call_soon(self._flush_head)
        else:
            raise BadResponse(f"{kind} is not allowed at this point of a response")

    def _encode_head(self, message: Any) -> bytes:
        status = message["status"]
        parts, framed, closes = [STATUS_LINE[status]], False, False
        lines = 1
        for headers in (self._default_headers, message.get("headers", ())):
            for name, value in headers:
                lines += 1
                lower = name.lower()
                if lower == b"content-length":
                    framed, self._remaining = True, int(value)
                elif lower == b"transfer-encoding":
                    framed, self._chunked = True, value.lower() == b"chunked"
                elif lower == b"connection" and b"close" in value.lower():
                    closes, self.keep_alive = True, False
                parts.append(b"%b: %b\r\n" % (lower, value))
        head = b"".join(parts)
        if head.count(b"\n") != lines or head.count(b"\r") != lines:
            raise BadResponse("a header contains a line end")
        if not self.keep_alive and not closes:
            head += b"connection: close\r\n"
        if not framed and not self._no_body and status not in (204, 304):
            self._chunked = True
            head += b"transfer-encoding: chunked\r\n"
        return head + b"\r\n"

    def _write_body(self, body: bytes, more_body: bool) -> None:
        if self._no_body:
            body = b""
        elif self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more_body:
                body += b"0\r\n\r\n"
        elif self._remaining is not None:
            self._remaining -= len(body)
            if self._remaining < 0 or (self._remaining and not more_body):
                raise BadResponse("the body does not have the length of content-length")
        self._write(body)
        if not more_body:
            self.response_complete = True
            self.set()
            if not self.keep_alive:
                self._close_after_response()
            self._on_response()

    def _close_after_response(self) -> None:
        if self.more_body and self._transport.can_write_eof():
            self._transport.write_eof()
            self._loop.call_later(DRAIN_S, self._transport.close)
        else:
            self._transport.close()

    def _write(self, body: bytes) -> None:
        self.has_written = True
        head, self._head = self._head, None
        if head is None:
            if body:
                self._transport.write(body)
        elif len(body) <= JOIN_LIMIT:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    def _flush_head(self) -> None:
        if self._head is not None and not self._transport.is_closing():
            self._write(b"")
