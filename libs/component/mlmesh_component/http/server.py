"""The listening socket and its connections: bytes in, requests to the handler, responses out in order.

Knows HTTP, nothing of functions.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Callable

from .connection import Connection, Handler, Parser
from .framing import Limits
from .response import Clock

BACKLOG = 2048
SWEEP_SECONDS = 5.0
FLUSH_SECONDS = 2.0


class Server:
    """One listening socket. Belongs to the loop's thread."""

    def __init__(self, handler: Handler, parser: Callable[[Limits], Parser], limits: Limits) -> None:
        self.handler = handler
        self.closing = False
        self.connections: set[Connection] = set()
        self.port = 0
        self.loop = asyncio.get_running_loop()
        self._make_parser = functools.partial(parser, limits)
        self._listener: asyncio.AbstractServer | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self.clock = Clock()
        self._empty: asyncio.Future[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that it became."""
        listener = await self.loop.create_server(self._connect, host, port, backlog=BACKLOG)
        self._listener = listener
        self._sweep()
        self.port = int(listener.sockets[0].getsockname()[1])
        return self.port

    def _connect(self) -> Connection:
        return Connection(self, self._make_parser())

    def stop_accepting(self) -> None:
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def close(self) -> None:
        """Close the connections, after what is written has gone out."""
        for connection in list(self.connections):
            connection.close()
        if self.connections:
            self._empty = self.loop.create_future()
            await asyncio.wait([self._empty], timeout=FLUSH_SECONDS)
        for connection in list(self.connections):
            connection.abort()

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if self._empty is not None and not self.connections and not self._empty.done():
            self._empty.set_result(None)

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in list(self.connections):
            connection.check_time(now)
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)
