"""SQLite's connections, each in a thread of its own: a statement and its rows are one trip there and back.

The driver takes four (make a cursor, execute, fetch, close), which costs more than what SQLite does in them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Self

import aiosqlite

CHUNK = 64
"""Rows that the driver's own iteration takes at a time; nothing here iterates."""


class Cursor:
    """One statement at a time, of which all rows are fetched at once, as SQLAlchemy does anyway."""

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
        """It was closed when its rows had been fetched."""

    def _run(self, execute: Any, statement: str, parameters: Iterable[Any], connection: sqlite3.Connection) -> None:
        """In the connection's thread."""
        cursor = connection.cursor()
        try:
            execute(cursor, statement, parameters)
            self.description = cursor.description
            self._rows = cursor.fetchall() if cursor.description else []
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()


class Connection(aiosqlite.Connection):
    def cursor(self) -> Any:
        return Cursor(self)

    async def run(self, work: Any) -> None:
        """`work`, called with the driver's own connection in the connection's thread."""
        execute: Any = self._execute  # untyped
        await execute(work, self._conn)


async def open_connection(file: str, **options: Any) -> Connection:
    """A cancelled opening is waited for and closed: its thread answers to this loop, which may end with the caller."""
    opening = asyncio.ensure_future(_open(file, options))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(OSError, sqlite3.Error):
            await (await opening).close()
        raise


async def _open(file: str, options: dict[str, Any]) -> Connection:
    connection = Connection(partial(sqlite3.connect, file, **options), CHUNK)
    connection._thread.daemon = True  # as SQLAlchemy does: what is left open at the end must not hold the process
    try:
        await connection
    except (OSError, sqlite3.Error):
        await asyncio.to_thread(connection._thread.join)  # it has been told to end, which it tells this loop
        raise
    return connection
