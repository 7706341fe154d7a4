"""A pool of idle upstream connections, and `fetch` for small responses."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache

from libs.common.errors import TimedOut, Unavailable
from services.gateway.proxy.upstream_connection import Headers, UpstreamConnection

CONNECT_TIMEOUT_S = 2.0
IDLE_TIMEOUT_S = 30.0
"""Idle connections are closed after about this time."""
SWEEPS = 3
MAX_IDLE_PER_ADDRESS = 64
"""Idle connections beyond this number are closed."""

Address = tuple[str, int]


class ConnectFailed(Unavailable):
    """Cannot connect to this address."""


class ConnectionPool:
    """Idle connections by address; the most recently used is reused first."""

    def __init__(self) -> None:
        self._idle: dict[Address, deque[UpstreamConnection]] = {}

    async def acquire(self, address: Address, *, new: bool = False) -> UpstreamConnection:
        """An idle connection, or a new one. Raises ConnectFailed."""
        idle = self._idle.get(address)
        while idle and not new:
            conn = idle.pop()
            if not conn.closed:
                return conn
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, conn = await loop.create_connection(lambda: UpstreamConnection(loop), *address)
        except (OSError, TimeoutError) as error:
            raise ConnectFailed() from error
        return conn

    def release(self, address: Address, connection: UpstreamConnection) -> None:
        """Return a connection after an exchange; it is closed unless it is reusable."""
        idle = self._idle.setdefault(address, deque())
        if not connection.is_reusable or len(idle) >= MAX_IDLE_PER_ADDRESS:
            connection.abort()
            return
        connection.mark_idle()
        idle.append(connection)

    async def close_idle_periodically(self) -> None:
        """Close connections that were idle too long, for ever."""
        while True:
            await asyncio.sleep(IDLE_TIMEOUT_S / SWEEPS)
            self._close_idle()

    def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()

    def _close_idle(self) -> None:
        for address, idle in list(self._idle.items()):
            for connection in idle:
                connection.idle_sweeps += 1
            while idle and (idle[0].closed or idle[0].idle_sweeps > SWEEPS):
                idle.popleft().abort()
            if not idle:
                del self._idle[address]


def encode_head(method: str, target: bytes, headers: Headers) -> bytes:
    """The request line and headers, encoded."""
    lines = [b"%b %b HTTP/1.1" % (method.encode(), target)]
    lines += [b"%b: %b" % header for header in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


@lru_cache(maxsize=4096)
def encode_host(address: Address) -> bytes:
    host, port = address
    return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()


@asynccontextmanager
async def _open_exchange(pool: ConnectionPool, address: Address, sent: bytes) -> AsyncIterator[UpstreamConnection]:
    connection = await pool.acquire(address, new=True)
    connection.start_exchange()
    try:
        connection.write(sent)
        yield connection
    finally:
        pool.release(address, connection)


async def fetch(
    pool: ConnectionPool,
    address: Address,
    method: str,
    target: str,
    headers: Headers,
    body: bytes = b"",
    *,
    timeout: float,
) -> tuple[int, bytes]:
    """Status and body of a small response. Raises Unavailable, TimedOut."""
    all_headers = [(b"host", encode_host(address)), *headers]
    if body:
        all_headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    try:
        async with (
            asyncio.timeout(timeout),
            _open_exchange(pool, address, encode_head(method, target.encode(), all_headers) + body) as conn,
        ):
            await conn.read_head()
            chunks = []
            while chunk := await conn.read_chunk():
                chunks.append(chunk)
            return conn.status, b"".join(chunks)
    except TimeoutError as error:
        raise TimedOut() from error
