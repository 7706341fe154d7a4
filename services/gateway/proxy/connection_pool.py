"""Connections that are kept for the next exchange, and whole small answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache

from libs.common.errors import TimedOut, Unavailable
from services.gateway.proxy.upstream_connection import Connection, Headers

CONNECT_TIMEOUT_S = 2.0
IDLE_S = 30.0
"""A connection that has been idle for about as long is closed."""
SWEEPS = 3
IDLE_CONNECTIONS = 64
"""Kept for each address."""

Address = tuple[str, int]


class CannotConnect(Unavailable):
    """Nothing answers at this address."""


class Pool:
    """Connections by address, the last used first."""

    def __init__(self) -> None:
        self._idle: dict[Address, deque[Connection]] = {}

    async def take(self, address: Address, *, fresh: bool = False) -> Connection:
        """An idle connection, or a new one. Raises CannotConnect."""
        idle = self._idle.get(address)
        while idle and not fresh:
            found = idle.pop()
            if not found.closed:
                return found
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, made = await loop.create_connection(lambda: Connection(loop), *address)
        except (OSError, TimeoutError) as error:
            raise CannotConnect() from error
        return made

    def give(self, address: Address, connection: Connection) -> None:
        """Back after an exchange; kept when it can be used again."""
        idle = self._idle.setdefault(address, deque())
        if not connection.reusable or len(idle) >= IDLE_CONNECTIONS:
            connection.abort()
            return
        connection.end()
        idle.append(connection)

    async def sweep(self) -> None:
        """For ever: close what has been idle for too long, forget addresses that are no longer used."""
        while True:
            await asyncio.sleep(IDLE_S / SWEEPS)
            self._sweep()

    def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()

    def _sweep(self) -> None:
        for address, idle in list(self._idle.items()):
            for connection in idle:
                connection.idle_sweeps += 1
            while idle and (idle[0].closed or idle[0].idle_sweeps > SWEEPS):
                idle.popleft().abort()
            if not idle:
                del self._idle[address]


def head_of(method: str, target: bytes, headers: Headers) -> bytes:
    """The request line and headers as sent."""
    lines = [b"%b %b HTTP/1.1" % (method.encode(), target)]
    lines += [b"%b: %b" % header for header in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


@lru_cache(maxsize=4096)
def host_header(address: Address) -> bytes:
    host, port = address
    return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()


@asynccontextmanager
async def _exchange(pool: Pool, address: Address, sent: bytes) -> AsyncIterator[Connection]:
    connection = await pool.take(address, fresh=True)
    connection.begin()
    try:
        connection.write(sent)
        yield connection
    finally:
        pool.give(address, connection)


async def fetch(
    pool: Pool, address: Address, method: str, target: str, headers: Headers, body: bytes = b"", *, timeout: float
) -> tuple[int, bytes]:
    """A whole small answer: status and body. Raises Unavailable, TimedOut."""
    every = [(b"host", host_header(address)), *headers]
    if body:
        every += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    try:
        async with (
            asyncio.timeout(timeout),
            _exchange(pool, address, head_of(method, target.encode(), every) + body) as c,
        ):
            await c.head()
            parts = []
            while piece := await c.chunk():
                parts.append(piece)
            return c.status, b"".join(parts)
    except TimeoutError as error:
        raise TimedOut() from error
