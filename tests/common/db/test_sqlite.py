"""Transactions of SQLite begin together with their first statement."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from libs.common.db import Database
from libs.common.db.sqlite import open_connection


async def test_a_statement_whose_transaction_cannot_begin_is_not_executed(tmp_path: Path) -> None:
    file = tmp_path / "db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE rows (id INTEGER)")
        other.execute("BEGIN IMMEDIATE")
        connection = await open_connection(str(file), timeout=0, isolation_level=None)
        try:
            connection.begins_with_next = True
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                await connection.cursor().execute("INSERT INTO rows VALUES (1)")
            other.execute("ROLLBACK")
            await connection.cursor().execute("INSERT INTO rows VALUES (2)")
            await connection.rollback()
        finally:
            await connection.close()
        assert other.execute("SELECT * FROM rows").fetchall() == []


async def test_a_transaction_without_statements_locks_nothing(tmp_path: Path) -> None:
    file = tmp_path / "db"
    database = Database(f"sqlite+aiosqlite:///{file}", pool=1)
    try:
        async with database.write():
            pass
        await database._writers.close()  # its connection is the pool's only one
        async with database.read() as conn:
            await conn.execute(text("SELECT 1"))
            with closing(sqlite3.connect(file, timeout=0)) as other:
                other.execute("CREATE TABLE rows (id INTEGER)")
    finally:
        await database.close()
