"""The migration 0011 renames what is in use: rows stay as they are, forward and back, on both databases."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from deploy.migrations import config, downgrade, upgrade
from libs.common.db import PREVIOUS_SCHEMA, SCHEMA_TABLE, Database
from services.databox import db as databox
from services.databox.db import Publication, Reservation
from services.registry.db import access_feed, apps, deployments, secrets
from services.scheduler.db import (
    autoscaling,
    callbacks,
    due_conditions,
    idempotency,
    leader,
    ready_tasks,
    stage_cache,
    tasks,
)
from services.scheduler.db import run_tombstones as tombstone_rows
from services.scheduler.db import runs as run_rows
from services.scheduler.model.autoscaling import ScaleState, ScalingBounds
from tests.deploy.rows_of_schema_0010 import BOUNDS, CLEANUP, EVENTS, MOVES, ROWS, RUN_PLAN, TRIES

RENAMED = "0011"
Dump = tuple[list[str], dict[str, list[str]]]
"""Definitions of tables and indexes, and all rows by table."""
DEFINITIONS = {
    "sqlite": """
        SELECT replace(sql, '"', '') FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name
    """,
    "postgresql": """
        SELECT format('%s.%s %s %s %s %s %s', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
            a.attnotnull, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        ORDER BY 1
    """,
}
"""SQLite quotes the names that it has written itself."""


def on_database(url: str, function: Callable[[Connection], Any]) -> Any:
    async def run() -> Any:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            result = await connection.run_sync(function)
        await engine.dispose()
        return result

    return asyncio.run(run())


def read_dump(connection: Connection) -> Dump:
    definitions = list(connection.execute(text(DEFINITIONS[connection.dialect.name])).scalars())
    names = sorted(set(inspect(connection).get_table_names()) - {SCHEMA_TABLE})
    rows = {name: connection.exec_driver_sql(f"SELECT * FROM {name} ORDER BY 1, 2").all() for name in names}  # noqa: S608
    return definitions, {name: [repr(row) for row in found] for name, found in rows.items()}


def read_files(connection: Connection) -> set[tuple[int, int]]:
    """The file of each table and index: a rewritten one has another."""
    query = "SELECT oid, relfilenode FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    return {(row.oid, row.relfilenode) for row in connection.execute(text(query))}


def insert_rows(connection: Connection) -> None:
    tables = MetaData()
    tables.reflect(connection)
    for name, rows in ROWS.items():
        for row in rows:
            connection.execute(tables.tables[name].insert().values(row))


@pytest.fixture
def database_before(database_url: str) -> str:
    """A database of the release before, with rows in every table that the migration renames or has columns of."""
    command.upgrade(config(database_url), PREVIOUS_SCHEMA)
    on_database(database_url, insert_rows)
    return database_url


def test_rows_survive_the_migration_and_its_way_back(database_before: str) -> None:
    before = on_database(database_before, read_dump)
    command.upgrade(config(database_before), RENAMED)
    after = on_database(database_before, read_dump)
    assert sorted(after[1].values()) == sorted(before[1].values())
    assert after[1].keys() != before[1].keys()
    downgrade(database_before)
    assert on_database(database_before, read_dump) == before


def test_postgresql_rewrites_no_table_and_no_index(postgres_url: str) -> None:
    command.upgrade(config(postgres_url), PREVIOUS_SCHEMA)
    before = on_database(postgres_url, read_files)
    command.upgrade(config(postgres_url), RENAMED)
    assert on_database(postgres_url, read_files) == before


def test_a_migration_that_was_interrupted_goes_on(sqlite_url: str) -> None:
    """SQLite commits each statement by itself."""
    command.upgrade(config(sqlite_url), PREVIOUS_SCHEMA)
    on_database(sqlite_url, insert_rows)
    with sqlite3.connect(sqlite_url.removeprefix("sqlite+aiosqlite:///")) as connection:
        connection.execute("ALTER TABLE scheduler_cache RENAME TO scheduler_stage_cache")
        connection.execute("ALTER TABLE scheduler_tasks RENAME COLUMN lost TO lost_count")
        connection.execute("CREATE INDEX scheduler_stage_cache_run ON scheduler_stage_cache (run)")
    connection.close()
    upgrade(sqlite_url)
    interrupted = on_database(sqlite_url, read_dump)
    downgrade(sqlite_url)
    upgrade(sqlite_url)
    assert on_database(sqlite_url, read_dump) == interrupted


def test_the_services_read_the_rows_of_the_release_before(database_before: str) -> None:
    upgrade(database_before)
    asyncio.run(read_all(database_before))


async def read_all(url: str) -> None:
    database = Database(url)
    async with database.write() as conn:
        await read_databox(conn)
        await read_registry(conn)
        await read_scheduler(conn)
        await read_callbacks_and_tombstones(conn)
    await database.close()


async def read_databox(conn: AsyncConnection) -> None:
    assert await databox.list_boxes(conn, "shop") == [databox.Box("results", 1000, False, 7)]
    assert await databox.list_key_reservations(conn, "shop", "results") == [
        Reservation("u_1", "shop", "results", "shop/results/a", 5, "etag-1", 4e9)
    ]
    unfinished = await databox.get_publication(conn, "shop", "r_1")
    assert unfinished == Publication(MOVES, ["shop/results/runs/r_1/a"], None)
    finished = await databox.get_publication(conn, "shop", "r_0")
    assert finished is not None
    assert finished.result is not None
    assert finished.result.to_json() == {"files": {"number": 1, "bytes": 3}}


async def read_registry(conn: AsyncConnection) -> None:
    repository = await apps.get_repository(conn, "shop")
    assert repository is not None
    assert (repository.encrypted_webhook_secret, repository.abandoned_head) == (b"\x00sealed", "c0ffee")
    assert await secrets.get_values(conn, "shop", "users") == {"alice": b"\x01sealed"}
    deployment = await deployments.get(conn, "d_1")
    assert deployment is not None
    assert (deployment.trigger, deployment.pinned_commit) == ("rollback", "decaf")
    assert await apps.list_removing(conn) == ["old", "gone"]
    await access_feed.record_change(conn, "shop")
    changes = await access_feed.list_changes(conn, 0)
    assert "alice" in str(changes)


async def read_scheduler(conn: AsyncConnection) -> None:
    run = await run_rows.get(conn, "leaf", "r_1")
    assert run is not None
    assert run.plan.to_json() == RUN_PLAN
    task = await tasks.get(conn, "t_1")
    assert task is not None
    assert (task.lost_count, task.dispatched_at, task.stop_requested, task.stop_at) == (2, 5.0, True, 6.0)
    assert await ready_tasks.count_dispatched(conn) == {"cpu": 1}
    bounds, scale = (await autoscaling.list_scaled_components(conn))["leaf", "echo"]
    assert (bounds, scale) == (ScalingBounds.from_json(BOUNDS), ScaleState(2, 1, 8.0))
    assert await autoscaling.get_total_loads(conn, 9.0) == {("leaf", "echo"): 1.5}
    assert await autoscaling.get_total_loads(conn, 9.1) == {}
    assert await idempotency.find_key(conn, idempotency.IdempotencyKey("leaf", "alice", "train", "order-1")) == (
        "5ec2e7",
        "r_1",
    )
    assert not await leader.acquire_leadership(conn, "loops", "two", 10.0)
    entry = await stage_cache.find_entry(conn, "leaf", "k_1")
    assert entry is not None
    assert (entry.attempt.run, entry.outputs) == ("r_1", {"table": 1})


async def read_callbacks_and_tombstones(conn: AsyncConnection) -> None:
    callback = await callbacks.get(conn, "r_1")
    assert callback is not None
    assert (callback.enqueued_events, callback.checked_version) == (EVENTS, 3)
    assert [one.run for one in await callbacks.list_changed(conn, 5)] == ["r_1"]
    assert [one.attempts for one in await callbacks.list_deliveries(conn, "r_1")] == [TRIES]
    (pending,) = await tombstone_rows.list_pending_cleanup(conn, 5)
    assert (pending.run, pending.deleted_at, pending.cleanup.to_json()) == ("r_0", 5.0, CLEANUP)
    assert (await due_conditions.find_due_work(conn, 10.0)).callbacks
