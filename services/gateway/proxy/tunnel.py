"""Two connections joined: the bytes of one go out at the other, until one ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from services.gateway.proxy.upstream_connection import Connection

UPGRADE = ((b"connection", b"Upgrade"), (b"upgrade", b"websocket"))
"""What both sides of a hop say when a WebSocket begins."""

HandOver = Callable[[asyncio.Protocol], asyncio.Transport]
"""Gives a caller's connection away, to be spoken on directly."""


class End(asyncio.Protocol):
    """One of the two; `ended` is set when it is lost."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: End = self
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()
        if self.other.transport is not None:
            self.other.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()


async def join(caller: HandOver, instance: Connection, head: bytes) -> None:
    """Returns when both are closed. Raises Lost when the instance is gone before it begins."""
    near, far = End(), End()
    near.other, far.other = far, near
    transport, rest = instance.hand_over(far)
    far.connection_made(transport)
    near.connection_made(caller(near))
    try:
        far.data_received(head + rest)
        await asyncio.gather(near.ended.wait(), far.ended.wait())
    finally:
        for end in (near, far):
            if end.transport is not None:
                end.transport.abort()
