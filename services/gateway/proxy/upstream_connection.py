"""An HTTP/1.1 client connection to an upstream, with back-pressure both ways."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import cast

import httptools

from libs.common.errors import MeshError, Unavailable

SWITCHING_PROTOCOLS = 101
LINGER_ZERO = struct.pack("ii", 1, 0)
"""SO_LINGER with 0 s: `abort` sends a reset."""
HIGH_WATER = 256 * 1024
"""Received bytes not yet read at which reading from the socket pauses."""

Headers = list[tuple[bytes, bytes]]


class UpstreamClosed(Unavailable):
    """The upstream closed the connection before its response was complete."""


class UpstreamConnection(asyncio.Protocol):
    """One exchange at a time: `start_exchange`, `write`, `read_head`, `read_chunk` until it returns nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._busy = False
        self.closed = False
        self.is_new = True
        """It has carried no exchange yet, so the upstream cannot have closed it as idle."""
        self.idle_sweeps = 0
        """Sweeps of the pool that found it idle."""

    def start_exchange(self, *, without_body: bool = False) -> None:
        self.status = 0
        self.headers: Headers = []
        self.complete = False
        self._without_body = without_body
        self._has_framing = False
        self._keep_alive = False
        self._error: MeshError | None = UpstreamClosed() if self.closed else None
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._head_received = False
        self._trailing_bytes = b""
        self._parser = httptools.HttpResponseParser(self)
        self._busy = True

    @property
    def is_exhausted(self) -> bool:
        """The whole response has been read."""
        return self.complete and not self._chunks

    @property
    def has_data(self) -> bool:
        """`read_chunk` would return at once."""
        return self.complete or bool(self._chunks)

    @property
    def is_reusable(self) -> bool:
        return self.complete and self._keep_alive and not self.closed and not self._paused

    def mark_idle(self) -> None:
        self._busy = False
        self.is_new = False
        self.idle_sweeps = 0

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self.closed:
            self._transport.write(data)

    async def drain(self) -> None:
        await self._writable.wait()

    async def read_head(self) -> None:
        """Returns when status and headers have been received."""
        while not self._head_received:
            await self._wait_for_data()

    async def read_chunk(self) -> bytes:
        """The next bytes of the body; empty at its end."""
        while not self._chunks and not self.complete:
            await self._wait_for_data()
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft() if len(self._chunks) == 1 else self._join_chunks()
        self._buffered = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    def fail(self, error: MeshError) -> None:
        """Abort the exchange: a pending or later read raises `error`."""
        if self.complete:
            return
        self._error = self._error or error
        self.abort()
        self._wake_reader()

    def abort(self) -> None:
        """Close with a reset, so that the upstream stops working on the request."""
        self.closed = True
        self._writable.set()
        if self._transport is not None:
            raw = self._transport.get_extra_info("socket")
            if raw is not None and not self._transport.is_closing():
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
            self._transport.abort()

    def detach_transport(self, protocol: asyncio.BaseProtocol) -> tuple[asyncio.Transport, bytes]:
        """After status 101: give the transport to `protocol`; with the bytes received after the head."""
        if self._transport is None or self.closed:
            raise UpstreamClosed()
        transport, self._transport = self._transport, None
        transport.set_protocol(protocol)
        self.closed = True
        return transport, self._trailing_bytes

    def _join_chunks(self) -> bytes:
        chunk = b"".join(self._chunks)
        self._chunks.clear()
        return chunk

    async def _wait_for_data(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake_reader(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._writable.set()
        if not self._busy or self.complete:
            return
        if self._head_received and not self._has_framing and exc is None:
            self.complete = True
        elif self._error is None:
            self._error = UpstreamClosed()
        self._wake_reader()

    def data_received(self, data: bytes) -> None:
        if not self._busy or self.complete:
            self.abort()  # unsolicited data
            return
        if self._head_received and self.status == SWITCHING_PROTOCOLS:
            self._trailing_bytes += data
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._trailing_bytes = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            failure = UpstreamClosed("the upstream's response is not valid HTTP")
            failure.__cause__ = error
            self.fail(failure)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._has_framing = self._has_framing or name in (b"content-length", b"transfer-encoding")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200 and self.status != SWITCHING_PROTOCOLS:
            return
        self._head_received = True
        self._has_framing = self._has_framing or self.status in (204, 304)
        if self._without_body:
            self.complete = True
        self._wake_reader()

    def on_body(self, body: bytes) -> None:
        if self._without_body:
            return
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake_reader()

    def on_message_complete(self) -> None:
        if self.status == SWITCHING_PROTOCOLS:
            return
        if self.status < 200:
            self.headers = []
            return
        self.complete = True
        self._keep_alive = self._has_framing and self._parser.should_keep_alive() and not self._without_body
        self._wake_reader()
