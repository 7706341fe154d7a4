"""The HTTP server: a listening socket and its connections, which pass requests to one handler."""

from __future__ import annotations

import asyncio
from typing import Callable

from .connection import Connection, RequestHandler, RequestParser
from .framing import Limits
from .response import DateHeader

BACKLOG = 2048
CHECK_INTERVAL_SECONDS = 5.0
FLUSH_SECONDS = 2.0
POLL_SECONDS = 0.01


class HttpServer:
    """One listening socket, on the loop's thread."""

    def __init__(self, handler: RequestHandler, parser: Callable[[Limits], RequestParser], limits: Limits) -> None:
        self.handler = handler
        self.closing = False
        self.connections: set[Connection] = set()
        self.port = 0
        self.loop = asyncio.get_running_loop()
        self.date_header = DateHeader()
        self._parser = parser
        self._limits = limits
        self._listener: asyncio.AbstractServer | None = None
        self._check_timer: asyncio.TimerHandle | None = None

    async def start_listening(self, host: str, port: int) -> int:
        """Open the listening socket and return its port."""
        listener = await self.loop.create_server(self._create_connection, host, port, backlog=BACKLOG)
        self._listener = listener
        self._check_connections()
        self.port = int(listener.sockets[0].getsockname()[1])
        return self.port

    def _create_connection(self) -> Connection:
        return Connection(self, self._parser(self._limits))

    def stop_accepting(self) -> None:
        """Accept no connection any more, and close each after its current response."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        if self._check_timer is not None:
            self._check_timer.cancel()
        for connection in list(self.connections):
            connection.start_close()

    async def close(self) -> None:
        """Close the connections after pending data has been sent."""
        for connection in list(self.connections):
            connection.close_now()
        end = self.loop.time() + FLUSH_SECONDS
        while self.connections and self.loop.time() < end:  # noqa: ASYNC110 - only while a component stops
            await asyncio.sleep(POLL_SECONDS)
        for connection in list(self.connections):
            connection.abort()

    def _check_connections(self) -> None:
        now = self.loop.time()
        for connection in list(self.connections):
            connection.check_timeouts(now)
        self._check_timer = self.loop.call_later(CHECK_INTERVAL_SECONDS, self._check_connections)
