"""Connections to the database: how they are opened, asked and kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from libs.common.db.bulk_insert import dump_json
from libs.common.db.sqlite import open_connection

BUSY_TIMEOUT_S = 10
CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 15
POOL_TIMEOUT_S = 5
PING_AFTER_IDLE_S = 2.0
"""After which a connection is asked whether it still leads to the server."""
MAX_CACHED = 4
"""For reading, and as many for writing."""


class ConnectionCache:
    """Keeps those that were just used: to take one from the pool and give it back is more than a statement on it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._cached: list[tuple[AsyncConnection, float]] = []
        """With the time of its last use."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """For one transaction, which is to be committed; otherwise it is rolled back."""
        connection = await self._acquire()
        try:
            yield connection
        except BaseException:
            await asyncio.shield(self._discard(connection))
            raise
        if len(self._cached) < MAX_CACHED:
            self._cached.append((connection, time.monotonic()))
        else:
            await connection.close()

    async def _acquire(self) -> AsyncConnection:
        while self._cached:
            connection, used = self._cached.pop()
            if time.monotonic() - used < PING_AFTER_IDLE_S:
                return connection
            await connection.close()  # its pool asks it before it gives it out again
        return await self._engine.connect()

    async def _discard(self, connection: AsyncConnection) -> None:
        if connection.invalidated:  # the others lead to the same server
            await self.close()
        await connection.close()

    async def close(self) -> None:
        kept, self._cached = self._cached, []
        for connection, _ in kept:
            await connection.close()


def create_engine(url: str, pool: int) -> AsyncEngine:
    dumps = {"json_serializer": dump_json, "json_deserializer": orjson.loads}
    if make_url(url).get_backend_name() == "sqlite":
        arguments: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S, "async_creator_fn": open_connection}
        engine = create_async_engine(url, connect_args=arguments, pool_size=pool, **dumps)
        event.listen(engine.sync_engine, "connect", _set_sqlite_pragmas)
        return engine
    engine = create_async_engine(
        url,
        connect_args={"timeout": CONNECT_TIMEOUT_S, "command_timeout": STATEMENT_TIMEOUT_S},
        pool_size=2 * pool,
        max_overflow=0,  # one that is closed after each use costs more than all that is done over it
        pool_timeout=POOL_TIMEOUT_S,
        **dumps,
    )
    event.listen(engine.sync_engine, "checkout", _ping_if_idle)
    event.listen(engine.sync_engine, "checkin", _mark_used)
    return engine


def _ping_if_idle(connection: Any, record: Any, _proxy: Any) -> None:
    """One that was idle is asked whether it still leads to the server; in a busy time that would be half the work."""
    if time.monotonic() - record.info.get("used", 0.0) < PING_AFTER_IDLE_S:
        return
    try:
        connection.ping()
    except Exception as error:
        raise DisconnectionError("the server has left") from error


def _mark_used(_connection: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _set_sqlite_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by us: the driver's own are deferred and fail at once
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_S * 1000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
