"""A connection of an ASGI application: runs its requests in order, or the WebSocket that it is upgraded to."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from ..http.connection import KEEP_ALIVE_SECONDS, LINGER_SECONDS, PROBE_AFTER_SECONDS, STALL_TIMEOUT_SECONDS
from ..http.framing import CONTINUE, ProtocolError, offers_websocket
from ..http.http1 import RequestHead
from ..http.response import DateHeader
from ..http.streaming_parser import UNLIMITED, StreamingParser
from .request_cycle import RequestCycle
from .websocket_session import WebSocketSession

MAX_UNREAD_BYTES = 256 * 1024
PING_INTERVAL_SECONDS = 30.0
PING_TIMEOUT_SECONDS = 90.0
"""A WebSocket is closed if its peer has sent nothing, not even a pong, for this time."""


class ConnectionOwner(Protocol):
    """The part of the server that a connection needs."""

    loop: asyncio.AbstractEventLoop
    date_header: DateHeader
    connections: set[AsgiConnection]
    closing: bool

    async def handle_request(self, head: RequestHead, cycle: RequestCycle, addresses: tuple[Any, Any]) -> None: ...

    async def handle_websocket(
        self, head: RequestHead, session: WebSocketSession, addresses: tuple[Any, Any]
    ) -> None: ...

    def protocol_error_response(self, error: ProtocolError) -> bytes: ...


class AsgiConnection(asyncio.Protocol):
    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._loop = owner.loop
        self._parser = StreamingParser(UNLIMITED)
        self._transport: Any = None
        self._websocket: WebSocketSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._data_arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._disconnected = asyncio.Event()
        self._peer_eof = False  # the peer has closed its sending side
        self._minor = 1
        self._response_started = False
        self._wrote = False  # something of the response, since the last probe
        self._closing = False
        self._paused = False
        self._awaits_continue = False
        self._last_activity = self._last_received = self._loop.time()

    # -- callbacks of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._owner.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._owner.connections.discard(self)
        for event in (self._disconnected, self._data_arrived, self._writable):
            event.set()
        if self._websocket is not None:
            self._websocket.connection_lost()

    def data_received(self, data: bytes) -> None:
        self._last_activity = self._last_received = self._loop.time()
        if self._websocket is not None:
            self._websocket.receive_data(data)
            return
        if self._closing:
            return
        self._parser.feed(data)
        self._data_arrived.set()
        if self._task is None:
            self._start_next_request()
        elif self._parser.unread_bytes > MAX_UNREAD_BYTES:
            self.pause_reading()

    def eof_received(self) -> bool:
        """The peer has closed its sending side; it may still be waiting for responses."""
        if self._websocket is not None or self._task is None:
            return False
        if not self._peer_eof:
            self._peer_eof = True
            self._data_arrived.set()
            self._loop.call_later(PROBE_AFTER_SECONDS, self._probe_peer, PROBE_AFTER_SECONDS)
        return True

    def _probe_peer(self, delay: float) -> None:
        """Write something to find out whether the peer has closed both sides, which cannot be seen otherwise."""
        if self._task is None or self._transport.is_closing():
            return
        if self._response_started and not self._wrote:
            self.abort()  # within a response nothing can be written to probe
            return
        if not self._response_started and self._minor > 0:
            self._transport.write(CONTINUE)
        self._wrote = False
        self._loop.call_later(2 * delay, self._probe_peer, 2 * delay)

    def pause_writing(self) -> None:
        self._last_activity = self._loop.time()
        self._writable.clear()

    def resume_writing(self) -> None:
        self._last_activity = self._loop.time()
        self._writable.set()

    # -- requests

    def _start_next_request(self) -> None:
        """Start the next request if its head has been received."""
        try:
            head = self._parser.next_head()
        except ProtocolError as error:
            self.reject_request(error)
            return
        if head is not None:
            is_upgrade = offers_websocket(head.method, head.headers)
            self._task = self._loop.create_task(self._run_websocket(head) if is_upgrade else self._run_request(head))

    async def _run_request(self, head: RequestHead) -> None:
        cycle = RequestCycle(head, self, keep_alive=head.framing.keep_alive and not self._owner.closing)
        self._awaits_continue = head.framing.expects_continue
        self._minor, self._response_started = head.minor, False
        try:
            await self._owner.handle_request(head, cycle, self._get_addresses())
        except ConnectionError:
            pass  # the caller has disconnected
        finally:
            self._task = None
        self._finish_request(cycle)

    def _finish_request(self, cycle: RequestCycle) -> None:
        """Go on with the next request if this one was read and answered completely; close otherwise."""
        if self._closing:
            return
        if not cycle.complete:
            self.abort()
        elif not cycle.keep_alive or self._owner.closing or not self._is_body_consumed():
            self._half_close()
        else:
            self.resume_reading()
            self._start_next_request()
            if self._peer_eof and self._task is None:
                self.close()

    def _is_body_consumed(self) -> bool:
        """Drop what has been received of a body that the application did not read; return whether that was all."""
        try:
            return self._parser.is_between_requests or self._parser.next_body_part()[1]
        except ProtocolError:
            return False

    async def _run_websocket(self, head: RequestHead) -> None:
        self._websocket = session = WebSocketSession(head, self)
        self._parser.next_body_part()
        session.receive_data(self._parser.take_unread())
        await self._owner.handle_websocket(head, session, self._get_addresses())

    def _get_addresses(self) -> tuple[Any, Any]:
        peer, local = (self._transport.get_extra_info(name) for name in ("peername", "sockname"))
        return (peer[:2] if peer else None), (local[:2] if local else None)

    # -- transport of requests and WebSockets

    async def receive_body(self) -> tuple[bytes, bool]:
        if self._awaits_continue:
            self._awaits_continue = False
            if not self._parser.unread_bytes:
                self._transport.write(CONTINUE)
        while True:
            self._data_arrived.clear()
            try:
                part, is_last = self._parser.next_body_part()
            except ProtocolError as error:
                self.reject_request(error)
                raise ConnectionResetError(error.detail) from error
            if part or is_last:
                return part, is_last
            if self._peer_eof:
                self.abort()
                raise ConnectionResetError("the caller closed its sending side within a request")
            self.resume_reading()
            await self._data_arrived.wait()
            if self._disconnected.is_set():
                raise ConnectionResetError("the caller has disconnected")

    async def write(self, data: bytes) -> None:
        if self._disconnected.is_set():
            raise ConnectionResetError("the caller has disconnected")
        self._response_started = self._wrote = True
        self._transport.write(data)
        await self._writable.wait()

    def send_now(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def wait_disconnected(self) -> None:
        self.resume_reading()
        await self._disconnected.wait()

    def date_line(self) -> bytes:
        return self._owner.date_header.render_line()

    def pause_reading(self) -> None:
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    # -- timeouts and closing

    def reject_request(self, error: ProtocolError) -> None:
        self.send_now(self._owner.protocol_error_response(error))
        self._half_close()

    def close_after_delay(self) -> None:
        self.resume_reading()
        self._loop.call_later(LINGER_SECONDS, self.abort)

    def _half_close(self) -> None:
        """Close the sending side and keep reading for a moment: a reset could destroy the response on its way."""
        self._closing = True
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        self.close_after_delay()

    def check_timeouts(self, now: float) -> None:
        """Close the connection of a peer that has stopped sending or reading."""
        idle_seconds = now - self._last_activity
        if self._websocket is not None:
            if now - self._last_received > PING_TIMEOUT_SECONDS:
                self.abort()
            elif now - self._last_received > PING_INTERVAL_SECONDS:
                self._websocket.send_ping()
        elif not self._writable.is_set():
            if idle_seconds > STALL_TIMEOUT_SECONDS:
                self.abort()
        elif self._task is None and idle_seconds > (
            KEEP_ALIVE_SECONDS if self._parser.is_idle else STALL_TIMEOUT_SECONDS
        ):
            self.close()

    def start_close(self) -> None:
        """Close when idle, after the current response, or after the closing handshake of the WebSocket."""
        if self._websocket is not None:
            self._websocket.start_close()
        elif self._task is None:
            self.close()

    def close(self) -> None:
        self._closing = True
        self._transport.close()

    def abort(self) -> None:
        if not self._transport.is_closing():
            self._transport.abort()
