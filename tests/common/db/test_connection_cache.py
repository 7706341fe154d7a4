"""Connections that are kept: never with something open, and all are let go with their server."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, event, insert, select, text

from libs.common.db import Database, connection_cache
from libs.common.errors import Unavailable

TABLES = MetaData()
NUMBERS = Table("numbers", TABLES, Column("n", Integer, primary_key=True))
WHO = {"postgresql": "SELECT pg_backend_pid()", "sqlite": "SELECT 1"}


async def numbers(database: Database) -> list[int]:
    async with database.read() as c:
        return list((await c.execute(select(NUMBERS.c.n).order_by(NUMBERS.c.n))).scalars())


async def test_what_was_not_committed_is_rolled_back_before_the_next(database_url: str) -> None:
    database = Database(database_url)
    await database.create_all(TABLES)
    for n in range(6):
        with suppress(KeyError):
            async with database.write() as c:
                await c.execute(insert(NUMBERS).values(n=n))
                raise KeyError
        async with database.write() as c:
            await c.execute(insert(NUMBERS).values(n=10 + n))
    assert await numbers(database) == list(range(10, 16))
    await database.close()


async def test_a_writer_that_is_cancelled_leaves_nothing_and_holds_nothing_up(database_url: str) -> None:
    database = Database(database_url)
    await database.create_all(TABLES)
    inside = asyncio.Event()

    async def slow() -> None:
        async with database.write() as c:
            await c.execute(insert(NUMBERS).values(n=1))
            inside.set()
            await asyncio.sleep(60)

    writer = asyncio.create_task(slow())
    await inside.wait()
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    async with asyncio.timeout(10), database.write() as c:
        await c.execute(insert(NUMBERS).values(n=2))
    assert await numbers(database) == [2]
    await database.close()


async def test_readers_at_the_same_time_have_their_own(database_url: str) -> None:
    database = Database(database_url)
    many = 3 * connection_cache.MAX_CACHED

    async def one(everybody: asyncio.Barrier) -> int:
        async with database.read() as c:
            await everybody.wait()
            found: int = (await c.execute(text(WHO[database.dialect]))).scalar_one()
        return found

    for _ in range(2):
        everybody = asyncio.Barrier(many)
        async with asyncio.timeout(30):
            found = await asyncio.gather(*(one(everybody) for _ in range(many)))
        assert len(set(found)) == (many if database.dialect == "postgresql" else 1)
    await database.close()


async def test_when_the_server_leaves_one_call_fails_and_the_next_does_not(postgres_url: str) -> None:
    database = Database(postgres_url)

    async def pid() -> int:
        async with database.read() as c:
            found: int = (await c.execute(text(WHO["postgresql"]))).scalar_one()
        return found

    async def wait(everybody: asyncio.Barrier) -> int:
        async with database.read() as c:
            await everybody.wait()
            found: int = (await c.execute(text(WHO["postgresql"]))).scalar_one()
        return found

    everybody = asyncio.Barrier(3)
    pids = await asyncio.gather(*(wait(everybody) for _ in range(3)))
    other = Database(postgres_url)
    async with other.read() as c:
        for one in pids:
            await c.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": one})
    with pytest.raises(Unavailable):
        await pid()
    assert await pid() not in pids
    await other.close()
    await database.close()


async def test_a_connection_to_a_file_is_kept_however_long_it_was_idle(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, checkouts, idle = Database(database_url), list[object](), 0.0
    event.listen(database._engine.sync_engine, "checkout", lambda *_: checkouts.append(None))
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + idle)
    for _ in range(3):
        await database.ready()
        idle += 2 * connection_cache.PING_AFTER_IDLE_S
    assert len(checkouts) == (1 if database.dialect == "sqlite" else 3)
    await database.close()
