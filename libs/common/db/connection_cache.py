"""Connections to the database: engines, and a cache in front of their pools."""

from __future__ import annotations

import asyncio
import math
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
"""A connection to a server that was idle for longer is pinged before its next use."""
MAX_CACHED = 4
"""Per cache: a Database has one for reading and one for writing."""


class ConnectionCache:
    """Caches connections after use: a checkout from the pool and its return cost more than a statement."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._fresh_s = math.inf if engine.dialect.name == "sqlite" else PING_AFTER_IDLE_S
        self._cached: list[tuple[AsyncConnection, float]] = []
        """Each with the time of its last use."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one transaction; rolled back unless it was committed."""
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
            connection, used_at = self._cached.pop()
            if time.monotonic() - used_at < self._fresh_s:
                return connection
            await connection.close()  # the pool pings it before the next checkout
        return await self._engine.connect()

    async def _discard(self, connection: AsyncConnection) -> None:
        if connection.invalidated:  # the others are connected to the same server
            await self.close()
        await connection.close()

    async def close(self) -> None:
        cached, self._cached = self._cached, []
        for connection, _ in cached:
            await connection.close()


def create_engine(url: str, pool: int) -> AsyncEngine:
    dumps = {"json_serializer": dump_json, "json_deserializer": orjson.loads}
    if make_url(url).get_backend_name() == "sqlite":
        arguments = {"timeout": BUSY_TIMEOUT_S, "async_creator_fn": open_connection}
        engine = create_async_engine(url, connect_args=arguments, pool_size=pool, **dumps)
        event.listen(engine.sync_engine, "connect", _set_sqlite_pragmas)
        return engine
    engine = create_async_engine(
        url,
        connect_args={"timeout": CONNECT_TIMEOUT_S, "command_timeout": STATEMENT_TIMEOUT_S},
        pool_size=2 * pool,
        max_overflow=0,  # overflow connections are opened for each use, which costs more than their statements
        pool_timeout=POOL_TIMEOUT_S,
        **dumps,
    )
    event.listen(engine.sync_engine, "checkout", _ping_if_idle)
    event.listen(engine.sync_engine, "checkin", _mark_used)
    return engine


def _ping_if_idle(connection: Any, record: Any, _proxy: Any) -> None:
    """Pings only idle connections: under load, pings would be half of the work."""
    if time.monotonic() - record.info.get("used", 0.0) < PING_AFTER_IDLE_S:
        return
    try:
        connection.ping()
    except Exception as error:
        raise DisconnectionError("the server closed the connection") from error


def _mark_used(_connection: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _set_sqlite_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # Database begins transactions: the driver's are deferred, and fail on a write
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_S * 1000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
