"""A connection to the application: its requests one after the other, or the WebSocket that it becomes."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from ..http.connection import KEEP_ALIVE_SECONDS, LINGER_SECONDS, LOOK_AFTER_SECONDS, STALLED_SECONDS
from ..http.framing import CONTINUE, ProtocolError, offers_websocket
from ..http.http1 import Head
from ..http.response import Clock
from ..http.streaming_parser import UNLIMITED, Reader
from .request_cycle import Cycle
from .websocket_session import Session

MAX_UNREAD_BYTES = 256 * 1024
PING_SECONDS = 30.0
SILENT_SECONDS = 90.0
"""A WebSocket's peer that answers no ping for so long is gone."""


class Server(Protocol):
    """The server, as a connection sees it."""

    loop: asyncio.AbstractEventLoop
    clock: Clock
    connections: set[Connection]
    closing: bool

    async def handle(self, head: Head, cycle: Cycle, addresses: tuple[Any, Any]) -> None: ...

    async def converse(self, head: Head, session: Session, addresses: tuple[Any, Any]) -> None: ...

    def refusal(self, error: ProtocolError) -> bytes: ...


class Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = server.loop
        self._reader = Reader(UNLIMITED)
        self._transport: Any = None
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self._at_end = False  # the peer sends no more
        self._minor = 1
        self._begun = self._wrote = False  # the answer; something of it since the last look
        self._ending = False
        self._paused = False
        self._expects = False
        self._since = self._heard = self._loop.time()

    # -- what asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ending = True
        self._server.connections.discard(self)
        for event in (self._lost, self._arrived, self._writable):
            event.set()
        if self._session is not None:
            self._session.lost()

    def data_received(self, data: bytes) -> None:
        self._since = self._heard = self._loop.time()
        if self._session is not None:
            self._session.arrived(data)
            return
        if self._ending:
            return
        self._reader.feed(data)
        self._arrived.set()
        if self._task is None:
            self._advance()
        elif self._reader.buffered > MAX_UNREAD_BYTES:
            self.pause()

    def eof_received(self) -> bool:
        """The peer sends no more; it may still want the answers to what it has sent."""
        if self._session is not None or self._task is None:
            return False
        if not self._at_end:
            self._at_end = True
            self._arrived.set()
            self._loop.call_later(LOOK_AFTER_SECONDS, self._look_if_there, LOOK_AFTER_SECONDS)
        return True

    def _look_if_there(self, pause: float) -> None:
        """Who has closed looks the same as who only sends no more, until something is sent: then nobody takes it."""
        if self._task is None or self._transport.is_closing():
            return
        if self._begun and not self._wrote:
            self.abort()  # nothing can be sent within an answer to find out
            return
        if not self._begun and self._minor > 0:
            self._transport.write(CONTINUE)
        self._wrote = False
        self._loop.call_later(2 * pause, self._look_if_there, 2 * pause)

    def pause_writing(self) -> None:
        self._since = self._loop.time()
        self._writable.clear()

    def resume_writing(self) -> None:
        self._since = self._loop.time()
        self._writable.set()

    # -- requests

    def _advance(self) -> None:
        """Begin the next request when its head is there."""
        try:
            head = self._reader.head()
        except ProtocolError as error:
            self.refuse(error)
            return
        if head is not None:
            offered = offers_websocket(head.method, head.headers)
            self._task = self._loop.create_task(self._talk(head) if offered else self._answer(head))

    async def _answer(self, head: Head) -> None:
        cycle = Cycle(head, self, keep=head.framing.keep_alive and not self._server.closing)
        self._expects = head.framing.expects_continue
        self._minor, self._begun = head.minor, False
        try:
            await self._server.handle(head, cycle, self._addresses())
        except ConnectionError:
            pass  # the caller has gone
        finally:
            self._task = None
        self._ended(cycle)

    def _ended(self, cycle: Cycle) -> None:
        """The next request, if this one was read to its end and answered in full."""
        if self._ending:
            return
        if not cycle.complete:
            self.abort()
        elif not cycle.keep or self._server.closing or not self._read_to_its_end():
            self._half_close()
        else:
            self.resume()
            self._advance()
            if self._at_end and self._task is None:
                self.close()

    def _read_to_its_end(self) -> bool:
        """What has come of a body that the application did not ask for is dropped; whether that was all of it."""
        try:
            return self._reader.between or self._reader.piece()[1]
        except ProtocolError:
            return False

    async def _talk(self, head: Head) -> None:
        self._session = session = Session(head, self)
        self._reader.piece()
        session.arrived(self._reader.rest())
        await self._server.converse(head, session, self._addresses())

    def _addresses(self) -> tuple[Any, Any]:
        peer, own = (self._transport.get_extra_info(name) for name in ("peername", "sockname"))
        return (peer[:2] if peer else None), (own[:2] if own else None)

    # -- what a request does with its connection

    async def body(self) -> tuple[bytes, bool]:
        if self._expects:
            self._expects = False
            if not self._reader.buffered:
                self._transport.write(CONTINUE)
        while True:
            self._arrived.clear()
            try:
                piece, ended = self._reader.piece()
            except ProtocolError as error:
                self.refuse(error)
                raise ConnectionResetError(error.detail) from error
            if piece or ended:
                return piece, ended
            if self._at_end:
                self.abort()
                raise ConnectionResetError("the caller has sent part of a request and no more")
            self.resume()
            await self._arrived.wait()
            if self._lost.is_set():
                raise ConnectionResetError("the caller has gone")

    async def write(self, data: bytes) -> None:
        if self._lost.is_set():
            raise ConnectionResetError("the caller has gone")
        self._begun = self._wrote = True
        self._transport.write(data)
        await self._writable.wait()

    def send_now(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def gone(self) -> None:
        self.resume()
        await self._lost.wait()

    def date(self) -> bytes:
        return self._server.clock.date()

    def pause(self) -> None:
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    # -- time and the end

    def refuse(self, error: ProtocolError) -> None:
        self.send_now(self._server.refusal(error))
        self._half_close()

    def linger(self) -> None:
        self.resume()
        self._loop.call_later(LINGER_SECONDS, self.abort)

    def _half_close(self) -> None:
        """Close; what still comes is read for a moment, so that the answer is not lost by a reset."""
        self._ending = True
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        self.linger()

    def check_time(self, now: float) -> None:
        """Let go of a peer that has stopped talking or reading."""
        quiet = now - self._since
        if self._session is not None:
            if now - self._heard > SILENT_SECONDS:
                self.abort()
            elif now - self._heard > PING_SECONDS:
                self._session.ping()
        elif not self._writable.is_set():
            if quiet > STALLED_SECONDS:
                self.abort()
        elif self._task is None and quiet > (KEEP_ALIVE_SECONDS if self._reader.idle else STALLED_SECONDS):
            self.close()

    def go_away(self) -> None:
        """An idle connection is closed, a busy one after its answer; a WebSocket when its peer says goodbye, too."""
        if self._session is not None:
            self._session.go_away()
        elif self._task is None:
            self.close()

    def close(self) -> None:
        self._ending = True
        self._transport.close()

    def abort(self) -> None:
        if not self._transport.is_closing():
            self._transport.abort()
