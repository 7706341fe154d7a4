"""SQLite connections of aiosqlite, with one switch to the connection's thread per statement.

aiosqlite needs four (create a cursor, execute, fetch, close), which cost more than SQLite's own work.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Self
from weakref import WeakValueDictionary

import aiosqlite
from sqlalchemy.ext.asyncio import AsyncConnection

CHUNK = 64
"""Rows per fetch of aiosqlite's own iteration, which is not used."""

_write_locks: WeakValueDictionary[tuple[str, asyncio.AbstractEventLoop], asyncio.Lock] = WeakValueDictionary()
"""Owned by the Databases of a file; here they find one another, as `mlmesh up` has several in one process."""


def share_write_lock(file: str) -> asyncio.Lock:
    """The lock of all writers of a file in this event loop: SQLite's busy handler backs off, asyncio's lock is fair."""
    return _write_locks.setdefault((file, asyncio.get_running_loop()), asyncio.Lock())


class Cursor:
    """Executes a statement and fetches all of its rows, as SQLAlchemy does anyway."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Iterable[Any] = ()) -> Self:
        await self._connection.run(partial(self._run, sqlite3.Cursor.execute, statement, parameters))
        return self

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> Self:
        await self._connection.run(partial(self._run, sqlite3.Cursor.executemany, statement, parameters))
        return self

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """No-op: `_run` closes the cursor after the fetch."""

    def _run(self, execute: Any, statement: str, parameters: Iterable[Any], connection: sqlite3.Connection) -> None:
        """Runs in the connection's thread."""
        cursor = connection.cursor()
        try:
            self._connection.begin_if_requested(cursor)
            execute(cursor, statement, parameters)
            self.description = cursor.description
            self._rows = cursor.fetchall() if cursor.description else []
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()


class Connection(aiosqlite.Connection):
    begins_with_next = False
    """Whether the next statement begins a transaction: it takes no switch to the thread of its own."""

    def cursor(self) -> Any:
        return Cursor(self)

    def begin_if_requested(self, cursor: sqlite3.Cursor) -> None:
        """Runs in the connection's thread. One that fails is tried again: no statement runs outside of it."""
        if self.begins_with_next:
            cursor.execute("BEGIN IMMEDIATE")
            self.begins_with_next = False

    async def commit(self) -> None:
        self.begins_with_next = False
        await super().commit()

    async def rollback(self) -> None:
        self.begins_with_next = False
        await super().rollback()

    async def run(self, work: Any) -> None:
        """Calls `work` with the sqlite3 connection in the connection's thread."""
        execute: Any = self._execute  # untyped
        await execute(work, self._conn)


def begin_with_next_statement(connection: AsyncConnection) -> None:
    """Begins a transaction that takes the database's write lock, together with the first statement."""
    driver: Connection = connection.sync_connection.connection.driver_connection  # type: ignore[union-attr,assignment]
    driver.begins_with_next = True


async def open_connection(file: str, **options: Any) -> Connection:
    """Opens a connection. On cancellation it waits and closes it: its thread calls this loop, which may end soon."""
    opening = asyncio.ensure_future(_open(file, options))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(OSError, sqlite3.Error):
            await (await opening).close()
        raise


async def _open(file: str, options: dict[str, Any]) -> Connection:
    connection = Connection(partial(sqlite3.connect, file, **options), CHUNK)
    connection._thread.daemon = True  # as SQLAlchemy does: an open connection must not keep the process alive
    try:
        await connection
    except (OSError, sqlite3.Error):
        await asyncio.to_thread(connection._thread.join)  # the ending thread calls this loop once more
        raise
    return connection
