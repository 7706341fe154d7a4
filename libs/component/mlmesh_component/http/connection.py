"""A connection of the HTTP server: one exchange at a time; pipelined requests wait in its parser."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from .exchange import Exchange
from .framing import CONTINUE, ProtocolError, Request
from .response import DateHeader, Response

KEEP_ALIVE_SECONDS = 75.0
STALL_TIMEOUT_SECONDS = 30.0
LINGER_SECONDS = 2.0
MAX_UNREAD_BYTES = 256 * 1024
"""Reading pauses when this much is buffered while a request is handled."""
PROBE_AFTER_SECONDS = 0.5
"""Delay of the first probe of a peer that has closed its sending side; it doubles with each further probe."""


class RequestHandler(Protocol):
    def create_exchange(self, request: Request, connection: Connection) -> Exchange: ...

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


class Connection(asyncio.Protocol):
    def __init__(self, owner: ConnectionOwner, parser: RequestParser) -> None:
        self.parser = parser
        self.exchange: Exchange | None = None
        """The request that is being handled."""
        self.is_writable = True
        self.peer_eof = False
        """The peer has closed its sending side."""
        self.owner = owner
        self._transport: asyncio.Transport = _NO_TRANSPORT
        self._processing = False
        self._reading = True
        self._wrote = False  # something of the response, since the last probe
        self._closing = False  # the last response has been written, or is about to be
        self._lingering = False  # closes by itself in a moment
        self._last_activity = owner.loop.time()

    # -- callbacks of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self.owner.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.owner.connections.discard(self)
        self._closing = True
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.disconnect()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._last_activity = self.owner.loop.time()
        self.parser.feed(data)
        if self.exchange is None:
            self._process_requests()
            return
        self.exchange.receive_data()
        if self.parser.unread_bytes > MAX_UNREAD_BYTES:
            self.pause_reading()

    def eof_received(self) -> bool:
        """The peer has closed its sending side; it may still be waiting for responses."""
        if self.exchange is None or not self.exchange.receive_eof():
            return False
        if not self.peer_eof:
            self.peer_eof = True
            self.owner.loop.call_later(PROBE_AFTER_SECONDS, self._probe_peer, PROBE_AFTER_SECONDS)
        return True

    def _probe_peer(self, delay: float) -> None:
        """Write something to find out whether the peer has closed both sides, which cannot be seen otherwise."""
        exchange = self.exchange
        if exchange is None or self._transport.is_closing():
            return
        if exchange.response_started and not self._wrote:
            self.abort()  # within a response nothing can be written to probe
            return
        if not exchange.response_started and exchange.minor > 0:
            self._transport.write(CONTINUE)
        self._wrote = False
        self.owner.loop.call_later(2 * delay, self._probe_peer, 2 * delay)

    def pause_writing(self) -> None:
        self.is_writable = False
        self._last_activity = self.owner.loop.time()
        if self.exchange is not None:
            self.exchange.pause_writing()

    def resume_writing(self) -> None:
        self.is_writable = True
        self._last_activity = self.owner.loop.time()
        if self.exchange is not None:
            self.exchange.resume_writing()
        else:
            self._process_requests()

    # -- requests

    def _process_requests(self) -> None:
        """Handle buffered requests in a loop: an immediate response must not recurse into the next request."""
        if self._processing:
            return
        self._processing = True
        try:
            while self.exchange is None and self.is_writable and not self._closing and self._start_next_request():
                pass
        finally:
            self._processing = False
        if self.exchange is None and not self._closing:
            if self._reading and self.peer_eof and self.is_writable:
                self.close()
            else:
                self.resume_reading()

    def _start_next_request(self) -> bool:
        try:
            request = self.parser.next_request()
        except ProtocolError as error:
            self.reject_request(error)
            return False
        if request is None:
            if self.parser.expects_continue:
                self._transport.write(CONTINUE)
            return False
        self.exchange = exchange = self.owner.handler.create_exchange(request, self)
        exchange.start()
        return True

    def finish_exchange(self, keep_alive: bool) -> None:
        """The response has been written completely: go on with the next request, or close."""
        self.exchange = None
        self._last_activity = self.owner.loop.time()
        if self._closing:
            return
        if keep_alive and not self.owner.closing:
            self._process_requests()
        elif self.parser.is_idle:
            self.close()
        else:
            self._half_close()

    def abort_exchange(self) -> None:
        """The response cannot be completed, unless another one has taken its place."""
        if not self._closing:
            self.abort()

    def reject_request(self, error: ProtocolError) -> None:
        """Respond to bytes that are not a valid request, and close."""
        response = self.owner.handler.handle_protocol_error(error)
        self.write(response.build_head(self.date_line(), b"connection: close\r\n") + response.body)
        self._half_close()

    # -- the transport of exchanges

    def write(self, data: bytes) -> None:
        self._wrote = True
        self._transport.write(data)

    def date_line(self) -> bytes:
        return self.owner.date_header.render_line()

    def get_addresses(self) -> tuple[Any, Any]:
        """Host and port of the peer and of this side."""
        peer, local = (self._transport.get_extra_info(name) for name in ("peername", "sockname"))
        return (peer[:2] if peer else None), (local[:2] if local else None)

    def pause_reading(self) -> None:
        if self._reading and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    # -- timeouts and closing

    def check_timeouts(self, now: float) -> None:
        """Close the connection of a peer that has stopped sending or reading."""
        idle_seconds = now - self._last_activity
        if self.exchange is not None and self.exchange.check_timeouts(now):
            return
        if not self.is_writable:
            if idle_seconds > STALL_TIMEOUT_SECONDS:
                self.abort()
        elif self.exchange is not None or self._closing:
            return
        elif self.parser.is_idle:
            if idle_seconds > KEEP_ALIVE_SECONDS:
                self.close()
        elif idle_seconds > STALL_TIMEOUT_SECONDS:
            self.reject_request(ProtocolError(408, "The request was not complete in time."))

    def _half_close(self) -> None:
        """Close the sending side and keep reading for a moment: a reset could destroy the response on its way."""
        self._closing = True
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        self.close_after_delay()

    def close_after_delay(self) -> None:
        """Close after a moment, if the peer does not."""
        self._lingering = True
        self.resume_reading()
        self.owner.loop.call_later(LINGER_SECONDS, self.abort)

    def start_close(self) -> None:
        """The component stops; a request may run to its end."""
        if self.exchange is not None:
            self.exchange.start_close()

    def close_now(self) -> None:
        """Close, unless it closes by itself in a moment."""
        if not self._lingering:
            self.close()

    def close(self) -> None:
        """Close after pending data has been sent."""
        self._closing = True
        self._transport.close()

    def abort(self) -> None:
        if not self._transport.is_closing():
            self._transport.abort()


_NO_TRANSPORT: Any = None
"""Placeholder until `connection_made`, which asyncio calls first."""
