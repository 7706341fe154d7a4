"""A connection of the HTTP server: handles one request at a time; pipelined requests wait in its parser."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, Callable, Protocol

from .chunked_writer import ChunkedWriter
from .framing import CONTINUE, ProtocolError, Request
from .response import DateHeader, Response
from .response_stream import ResponseStream

KEEP_ALIVE_SECONDS = 75.0
STALL_TIMEOUT_SECONDS = 30.0
LINGER_SECONDS = 2.0
MAX_UNREAD_BYTES = 256 * 1024
"""Reading pauses when this much of later requests is buffered while one is handled."""
PROBE_AFTER_SECONDS = 0.5
"""Delay of the first probe of a peer that has closed its sending side; it doubles with each further probe."""
MAX_JOINED_WRITE_BYTES = 64 * 1024
"""Up to this size, head and body are joined for one write."""


class RequestHandler(Protocol):
    def handle_request(self, request: Request, reply: Callable[[Response], None]) -> Callable[[], None] | None:
        """Call `reply` now or later; returns a function to call if the caller disconnects before."""

    def handle_protocol_error(self, error: ProtocolError) -> Response:
        """The response to bytes that are not a valid request."""


class RequestParser(Protocol):
    def feed(self, data: bytes) -> None: ...

    def next_request(self) -> Request | None: ...

    @property
    def unread_bytes(self) -> int: ...

    @property
    def is_idle(self) -> bool: ...

    @property
    def expects_continue(self) -> bool: ...


class ConnectionOwner(Protocol):
    """The part of the server that a connection needs."""

    loop: asyncio.AbstractEventLoop
    date_header: DateHeader
    handler: RequestHandler
    connections: set[Connection]
    closing: bool

    def remove_connection(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """One connection; `_request` is the request that is being handled."""

    def __init__(self, owner: ConnectionOwner, parser: RequestParser) -> None:
        self._owner = owner
        self._parser = parser
        self._transport: asyncio.Transport = _NO_TRANSPORT
        self._request: Request | None = None
        self._on_disconnect: Callable[[], None] | None = None
        self._stream: ResponseStream | None = None
        self._processing = False
        self._writable = True
        self._reading = True
        self._peer_eof = False  # the peer has closed its sending side
        self._closing = False  # the last response has been written, or is about to be
        self._last_activity = owner.loop.time()

    # -- callbacks of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._owner.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.remove_connection(self)
        self._closing = True
        self._request = None
        cancel, self._on_disconnect = self._on_disconnect, None
        if cancel is not None:
            cancel()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._last_activity = self._owner.loop.time()
        self._parser.feed(data)
        if self._request is None:
            self._process_requests()
        elif self._parser.unread_bytes > MAX_UNREAD_BYTES:
            self._transport.pause_reading()
            self._reading = False

    def eof_received(self) -> bool:
        """The peer has closed its sending side; it may still be waiting for responses."""
        if self._request is None or self._stream is not None:
            return False
        if not self._peer_eof:
            self._peer_eof = True
            self._owner.loop.call_later(PROBE_AFTER_SECONDS, self._probe_peer, PROBE_AFTER_SECONDS)
        return True

    def _probe_peer(self, delay: float) -> None:
        """Write something to find out whether the peer has closed both sides, which cannot be seen otherwise."""
        if self._request is None or self._transport.is_closing():
            return
        if self._stream is None and self._request.minor > 0:
            self._transport.write(CONTINUE)
        self._owner.loop.call_later(2 * delay, self._probe_peer, 2 * delay)

    def pause_writing(self) -> None:
        self._writable = False
        self._last_activity = self._owner.loop.time()
        if self._stream is not None:
            self._stream.pause()

    def resume_writing(self) -> None:
        self._writable = True
        self._last_activity = self._owner.loop.time()
        if self._stream is not None:
            self._stream.resume()
        if self._request is None:
            self._process_requests()

    # -- requests

    def _process_requests(self) -> None:
        """Handle buffered requests in a loop: an immediate response must not recurse into the next request."""
        if self._processing:
            return
        self._processing = True
        try:
            while self._request is None and self._writable and not self._closing and self._start_next_request():
                pass
        finally:
            self._processing = False
        if self._request is None and not self._closing:
            self._resume_reading()

    def _resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        elif self._peer_eof and self._writable:
            self.close()

    def _start_next_request(self) -> bool:
        try:
            request = self._parser.next_request()
        except ProtocolError as error:
            self._reject_request(error)
            return False
        if request is None:
            if self._parser.expects_continue:
                self._transport.write(CONTINUE)
            return False
        self._request = request
        cancel = self._owner.handler.handle_request(request, functools.partial(self._send_response, request))
        if self._request is request:
            self._on_disconnect = cancel
        return True

    def _send_response(self, request: Request, response: Response) -> None:
        if self._request is not request:
            return
        keep_alive = request.keep_alive and not self._owner.closing
        if response.stream is not None:
            self._start_stream(
                response, response.stream, keep_alive=keep_alive and request.minor > 0, chunked=request.minor > 0
            )
            return
        connection_header = (
            b""
            if keep_alive and request.minor
            else b"connection: keep-alive\r\n"
            if keep_alive
            else b"connection: close\r\n"
        )
        self._write_response(response, connection_header, with_body=request.method != b"HEAD")
        self._finish_response(keep_alive)

    def _start_stream(self, response: Response, stream: ResponseStream, *, keep_alive: bool, chunked: bool) -> None:
        """Send the head; the request stays current until the stream ends."""
        self._stream = stream
        if not self._writable:
            stream.pause()
        connection_headers = (b"transfer-encoding: chunked\r\n" if chunked else b"") + (
            b"" if keep_alive else b"connection: close\r\n"
        )
        self._transport.write(response.build_head(self._owner.date_header.render_line(), connection_headers))
        stream.attach_sink(ChunkedWriter(self._transport, chunked, lambda: self._finish_response(keep_alive)))

    def _finish_response(self, keep_alive: bool) -> None:
        """The response has been written completely."""
        self._request = None
        self._on_disconnect = None
        self._stream = None
        self._last_activity = self._owner.loop.time()
        if not keep_alive:
            self._closing = True
            self._transport.close()
        else:
            self._process_requests()

    def _write_response(self, response: Response, connection_header: bytes, with_body: bool) -> None:
        body = response.body
        head = response.build_head(self._owner.date_header.render_line(), connection_header)
        if not with_body:
            self._transport.write(head)
        elif len(body) <= MAX_JOINED_WRITE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    def _reject_request(self, error: ProtocolError) -> None:
        """Respond, close the sending side and keep reading for a moment: a reset could destroy the response."""
        self._closing = True
        self._write_response(self._owner.handler.handle_protocol_error(error), b"connection: close\r\n", with_body=True)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._owner.loop.call_later(LINGER_SECONDS, self.abort)

    # -- timeouts and closing

    def check_timeouts(self, now: float) -> None:
        """Close the connection of a peer that has stopped sending or reading."""
        idle_seconds = now - self._last_activity
        if self._request is not None or self._closing:
            if not self._writable and idle_seconds > STALL_TIMEOUT_SECONDS:
                self.abort()
        elif self._parser.is_idle:
            if idle_seconds > KEEP_ALIVE_SECONDS:
                self._transport.close()
        elif idle_seconds > STALL_TIMEOUT_SECONDS:
            self._reject_request(ProtocolError(408, "The request was not complete in time."))

    def close(self) -> None:
        self._closing = True
        self._transport.close()

    def abort(self) -> None:
        if not self._transport.is_closing():
            self._transport.abort()


_NO_TRANSPORT: Any = None
"""Placeholder until `connection_made`, which asyncio calls first."""
