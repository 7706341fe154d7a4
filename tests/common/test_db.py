from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, select
from sqlalchemy.exc import IntegrityError

from libs.common.db import Database, Json, damage, insert_many
from libs.common.errors import DatabaseDamaged

TABLES = MetaData()
PARENTS = Table("parents", TABLES, Column("id", String(8), primary_key=True), Column("size", Integer, default=3))
CHILDREN = Table("children", TABLES, Column("id", String(8), primary_key=True), Column("of", Json))


async def test_rows_of_two_tables_come_together_or_not_at_all(database_url: str) -> None:
    database = Database(database_url)
    await database.create_all(TABLES)
    children: list[dict[str, Any]] = [{"id": "a", "of": {"x": [1]}}, {"id": "b", "of": None}]
    async with database.write(single_statement=database.shared) as c:
        await insert_many(c, (PARENTS, [{"id": "one"}, {"id": "two"}]), (CHILDREN, children))
    with pytest.raises(IntegrityError):
        async with database.write(single_statement=database.shared) as c:
            await insert_many(c, (PARENTS, [{"id": "three"}]), (CHILDREN, children))
    async with database.read() as c:
        assert sorted(tuple(row) for row in await c.execute(select(PARENTS))) == [("one", 3), ("two", 3)]
        found = await c.execute(select(CHILDREN).order_by(CHILDREN.c.id))
        assert [tuple(row) for row in found] == [("a", {"x": [1]}), ("b", None)]
    await database.close()


@pytest.mark.parametrize("folder", ["", "missing"])
def test_an_opening_that_is_cancelled_outlives_no_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect
    connecting, resume = threading.Event(), threading.Event()

    def slowly(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connecting.set()
        assert resume.wait(10)
        return connect(*arguments, **options)

    async def abandoned() -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / folder / 'db'}")
        asking = asyncio.create_task(database.ready())
        await asyncio.to_thread(connecting.wait, 10)
        asking.cancel()
        asyncio.get_running_loop().call_later(0.05, resume.set)
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        await database.close()

    died: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda seen: died.append(seen.exc_value))
    monkeypatch.setattr(sqlite3, "connect", slowly)
    before = set(threading.enumerate())
    asyncio.run(abandoned())
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()
    assert died == []


async def test_damage_that_a_statement_meets_is_told_with_the_file(tmp_path: Path) -> None:
    """Pages that no start looks at; the other tables go on."""
    file = tmp_path / "mesh.db"
    database = Database(f"sqlite+aiosqlite:///{file}")
    await database.create_all(TABLES)
    async with database.write() as c:
        await insert_many(c, (PARENTS, [{"id": f"p{number}"} for number in range(5000)]))
    await database.close()
    with file.open("r+b") as opened:
        opened.seek(6 * 4096)
        opened.write(b"\xff" * 20 * 4096)
    damage.check_file(file)
    database = Database(f"sqlite+aiosqlite:///{file}")
    sentence = (
        f"the database {file} is damaged (database disk image is malformed); "
        f"restore it from a backup, or move {tmp_path} away to begin anew"
    )
    with pytest.raises(DatabaseDamaged) as read:
        async with database.read() as c:
            await c.execute(select(PARENTS))
    with pytest.raises(DatabaseDamaged) as written:
        async with database.write() as c:
            await c.execute(PARENTS.delete())
    assert [read.value.detail, written.value.detail] == [sentence, sentence]
    async with database.read() as c:
        assert list(await c.execute(select(CHILDREN))) == []
    await database.close()


@pytest.mark.parametrize("harm", ["removed", "emptied", "cut", "overwritten"])
async def test_a_database_that_is_not_what_it_was_is_not_ready(tmp_path: Path, harm: str) -> None:
    file = tmp_path / "mlmesh.db"
    database = Database(f"sqlite+aiosqlite:///{file}")
    await database.create_all(TABLES)
    await database.ready()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else the pages are all in the log beside the file
    match harm:
        case "removed":
            file.unlink()
        case "emptied":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(file.read_bytes()[:600])
        case _:
            file.write_bytes(b"x" * file.stat().st_size)
    try:
        with pytest.raises(DatabaseDamaged, match="is damaged"):
            await database.ready()
    finally:
        await database.close()


async def test_a_single_statement_is_committed_at_once_and_one_that_fails_changes_nothing(database_url: str) -> None:
    database = Database(database_url)
    await database.create_all(TABLES)
    async with database.write(single_statement=True) as c:
        await c.execute(PARENTS.insert(), {"id": "one"})
    with pytest.raises(IntegrityError):
        async with database.write(single_statement=True) as c:
            await c.execute(PARENTS.insert().values([{"id": "two"}, {"id": "one"}]))
    async with database.write() as c:
        await c.execute(PARENTS.insert(), {"id": "three"})
    async with database.read() as c:
        assert list((await c.execute(select(PARENTS.c.id).order_by(PARENTS.c.id))).scalars()) == ["one", "three"]
    await database.close()
