"""The HTTP server: a listening socket and its connections, which pass requests to one handler."""

from __future__ import annotations

import asyncio
import functools
from typing import Callable

from .connection import Connection, RequestHandler, RequestParser
from .framing import Limits
from .response import DateHeader

BACKLOG = 2048
CHECK_INTERVAL_SECONDS = 5.0
FLUSH_SECONDS = 2.0


class HttpServer:
    """One listening socket, on the loop's thread."""

    def __init__(self, handler: RequestHandler, parser: Callable[[Limits], RequestParser], limits: Limits) -> None:
        self.handler = handler
        self.closing = False
        self.connections: set[Connection] = set()
        self.port = 0
        self.loop = asyncio.get_running_loop()
        self._make_parser = functools.partial(parser, limits)
        self._listener: asyncio.AbstractServer | None = None
        self._check_timer: asyncio.TimerHandle | None = None
        self.date_header = DateHeader()
        self._all_closed: asyncio.Future[None] | None = None

    async def start_listening(self, host: str, port: int) -> int:
        """Open the listening socket and return its port."""
        listener = await self.loop.create_server(self._create_connection, host, port, backlog=BACKLOG)
        self._listener = listener
        self._check_connections()
        self.port = int(listener.sockets[0].getsockname()[1])
        return self.port

    def _create_connection(self) -> Connection:
        return Connection(self, self._make_parser())

    def stop_accepting(self) -> None:
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        if self._check_timer is not None:
            self._check_timer.cancel()

    async def close(self) -> None:
        """Close the connections after pending data has been sent."""
        for connection in list(self.connections):
            connection.close()
        if self.connections:
            self._all_closed = self.loop.create_future()
            await asyncio.wait([self._all_closed], timeout=FLUSH_SECONDS)
        for connection in list(self.connections):
            connection.abort()

    def remove_connection(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if self._all_closed is not None and not self.connections and not self._all_closed.done():
            self._all_closed.set_result(None)

    def _check_connections(self) -> None:
        now = self.loop.time()
        for connection in list(self.connections):
            connection.check_timeouts(now)
        self._check_timer = self.loop.call_later(CHECK_INTERVAL_SECONDS, self._check_connections)
