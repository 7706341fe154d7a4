"""A WebSocket tunnel: copies bytes between the client's and the upstream's connection until one closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from services.gateway.proxy.upstream_connection import UpstreamConnection

UPGRADE_HEADERS = ((b"connection", b"Upgrade"), (b"upgrade", b"websocket"))
"""Headers of a WebSocket handshake, in both directions."""

TakeTransport = Callable[[asyncio.Protocol], asyncio.Transport]
"""Hands the client's transport over to another protocol."""


class TunnelSide(asyncio.Protocol):
    """One side of the tunnel; `closed` is set when its connection is lost."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: TunnelSide = self
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        if self.peer.transport is not None:
            self.peer.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.peer.transport is not None:
            self.peer.transport.write(data)

    def pause_writing(self) -> None:
        if self.peer.transport is not None and not self.peer.transport.is_closing():
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer.transport is not None and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()


async def run_tunnel(take_transport: TakeTransport, upstream: UpstreamConnection, head: bytes) -> None:
    """Returns when both sides are closed. Raises UpstreamClosed when the upstream is gone before the start."""
    client_side, upstream_side = TunnelSide(), TunnelSide()
    client_side.peer, upstream_side.peer = upstream_side, client_side
    transport, trailing_bytes = upstream.detach_transport(upstream_side)
    upstream_side.connection_made(transport)
    client_side.connection_made(take_transport(client_side))
    try:
        upstream_side.data_received(head + trailing_bytes)
        await asyncio.gather(client_side.closed.wait(), upstream_side.closed.wait())
    finally:
        for side in (client_side, upstream_side):
            if side.transport is not None:
                side.transport.abort()
