"""A connection: requests in, responses out in order. It works on one at a time; pipelined ones wait their turn."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, Callable, Protocol

from .chunked_writer import Chunks
from .framing import CONTINUE, ProtocolError, Request
from .response import Clock, Response
from .response_stream import Stream

KEEP_ALIVE_SECONDS = 75.0
STALLED_SECONDS = 30.0
LINGER_SECONDS = 2.0
MAX_UNREAD_BYTES = 256 * 1024
"""More than this of later requests is left in the kernel while one is answered."""
LOOK_AFTER_SECONDS = 0.5
"""Until the first look whether a peer who sends no more is still there; twice as long until each further one."""
WHOLE_BYTES = 64 * 1024
"""Up to here head and body are written as one."""


class Handler(Protocol):
    def handle(self, request: Request, reply: Callable[[Response], None]) -> Callable[[], None] | None:
        """Answer now or later by `reply`; returns what to call when the caller goes before that."""

    def refuse(self, error: ProtocolError) -> Response:
        """The answer to what is not a request."""


class Parser(Protocol):
    def feed(self, data: bytes) -> None: ...

    def take(self) -> Request | None: ...

    @property
    def buffered(self) -> int: ...

    @property
    def idle(self) -> bool: ...

    @property
    def expects_continue(self) -> bool: ...


class Server(Protocol):
    """The server, as a connection sees it."""

    loop: asyncio.AbstractEventLoop
    clock: Clock
    handler: Handler
    connections: set[Connection]
    closing: bool

    def forget(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """One connection; `_request` is the one that is being answered."""

    def __init__(self, server: Server, parser: Parser) -> None:
        self._server = server
        self._parser = parser
        self._transport: asyncio.Transport = _NOWHERE
        self._request: Request | None = None
        self._cancel: Callable[[], None] | None = None
        self._streamed: Stream | None = None
        self._advancing = False
        self._writable = True
        self._reading = True
        self._at_end = False  # the peer sends no more
        self._ending = False  # the last response is written or about to be
        self._since = server.loop.time()

    # -- what asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.forget(self)
        self._ending = True
        self._request = None
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        self._since = self._server.loop.time()
        self._parser.feed(data)
        if self._request is None:
            self._advance()
        elif self._parser.buffered > MAX_UNREAD_BYTES:
            self._transport.pause_reading()
            self._reading = False

    def eof_received(self) -> bool:
        """The peer sends no more; it may still want the answers to what it has sent."""
        if self._request is None or self._streamed is not None:
            return False
        if not self._at_end:
            self._at_end = True
            self._server.loop.call_later(LOOK_AFTER_SECONDS, self._look_if_there, LOOK_AFTER_SECONDS)
        return True

    def _look_if_there(self, pause: float) -> None:
        """Who has closed looks the same as who only sends no more, until something is sent: then nobody takes it."""
        if self._request is None or self._transport.is_closing():
            return
        if self._streamed is None and self._request.minor > 0:
            self._transport.write(CONTINUE)
        self._server.loop.call_later(2 * pause, self._look_if_there, 2 * pause)

    def pause_writing(self) -> None:
        self._writable = False
        self._since = self._server.loop.time()
        if self._streamed is not None:
            self._streamed.pause()

    def resume_writing(self) -> None:
        self._writable = True
        self._since = self._server.loop.time()
        if self._streamed is not None:
            self._streamed.resume()
        if self._request is None:
            self._advance()

    # -- requests

    def _advance(self) -> None:
        """Begin the next request if it is there; a response that comes at once goes on in this loop, not deeper."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._request is None and self._writable and not self._ending and self._begin_next():
                pass
        finally:
            self._advancing = False
        if self._request is None and not self._ending:
            self._wait_for_more()

    def _wait_for_more(self) -> None:
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        elif self._at_end and self._writable:
            self.close()

    def _begin_next(self) -> bool:
        try:
            request = self._parser.take()
        except ProtocolError as error:
            self._refuse(error)
            return False
        if request is None:
            if self._parser.expects_continue:
                self._transport.write(CONTINUE)
            return False
        self._request = request
        cancel = self._server.handler.handle(request, functools.partial(self._reply, request))
        if self._request is request:
            self._cancel = cancel
        return True

    def _reply(self, request: Request, response: Response) -> None:
        if self._request is not request:
            return
        keep = request.keep_alive and not self._server.closing
        if response.stream is not None:
            self._stream(response, response.stream, keep=keep and request.minor > 0, chunked=request.minor > 0)
            return
        connection = (
            b"" if keep and request.minor else b"connection: keep-alive\r\n" if keep else b"connection: close\r\n"
        )
        self._write(response, connection, with_body=request.method != b"HEAD")
        self._finish(keep)

    def _stream(self, response: Response, stream: Stream, *, keep: bool, chunked: bool) -> None:
        """The request stays the one that is being answered until the stream ends."""
        self._streamed = stream
        if not self._writable:
            stream.pause()
        connection = (b"transfer-encoding: chunked\r\n" if chunked else b"") + (
            b"" if keep else b"connection: close\r\n"
        )
        self._transport.write(response.head(self._server.clock.date(), connection))
        stream.attach(Chunks(self._transport, chunked, lambda: self._finish(keep)))

    def _finish(self, keep: bool) -> None:
        """The response is written."""
        self._request = None
        self._cancel = None
        self._streamed = None
        self._since = self._server.loop.time()
        if not keep:
            self._ending = True
            self._transport.close()
        else:
            self._advance()

    def _write(self, response: Response, connection: bytes, with_body: bool) -> None:
        body = response.body
        head = response.head(self._server.clock.date(), connection)
        if not with_body:
            self._transport.write(head)
        elif len(body) <= WHOLE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    def _refuse(self, error: ProtocolError) -> None:
        """Answer and close; what still comes is read for a moment, so that the answer is not lost by a reset."""
        self._ending = True
        self._write(self._server.handler.refuse(error), b"connection: close\r\n", with_body=True)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._server.loop.call_later(LINGER_SECONDS, self.abort)

    # -- time and the end

    def check_time(self, now: float) -> None:
        """Let go of a peer that has stopped talking or reading."""
        quiet = now - self._since
        if self._request is not None or self._ending:
            if not self._writable and quiet > STALLED_SECONDS:
                self.abort()
        elif self._parser.idle:
            if quiet > KEEP_ALIVE_SECONDS:
                self._transport.close()
        elif quiet > STALLED_SECONDS:
            self._refuse(ProtocolError(408, "The request did not come to an end in time."))

    def close(self) -> None:
        self._ending = True
        self._transport.close()

    def abort(self) -> None:
        if not self._transport.is_closing():
            self._transport.abort()


_NOWHERE: Any = None
"""Stands for the transport until `connection_made`, which asyncio calls first."""
