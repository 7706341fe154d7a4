"""Rows of workers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import DatabaseNow, upsert_in
from services.scheduler.db.tables import workers
from services.scheduler.model.worker import Worker

SELECT_DRAINING = select(
    select(workers.c.draining).where(workers.c.name == bindparam("worker_name")).scalar_subquery(), DatabaseNow()
)


async def upsert_worker(conn: AsyncConnection, columns: Mapping[str, Any]) -> tuple[bool, float]:
    """Insert or update the worker, seen now: whether it is draining, and the database's time in epoch seconds.

    `draining` is set through the API only.
    """
    statement = _build_upsert(conn.dialect.name, tuple(columns))
    draining, seen_at = (await conn.execute(statement, {"draining": False, **columns})).one()
    return bool(draining), seen_at


@cache
def _build_upsert(dialect: str, columns: tuple[str, ...]) -> Any:
    """Built once: each heartbeat executes it."""
    statement = upsert_in(dialect, workers).values(seen_at=DatabaseNow())
    updates = {name: statement.excluded[name] for name in (*columns, "seen_at") if name != "name"}
    upserted = statement.on_conflict_do_update(index_elements=["name"], set_=updates)
    return upserted.returning(workers.c.draining, workers.c.seen_at)


async def get_draining(conn: AsyncConnection, name: str) -> tuple[bool, float]:
    """Whether the worker is draining, and the database's time in epoch seconds."""
    draining, database_time = (await conn.execute(SELECT_DRAINING, {"worker_name": name})).one()
    return bool(draining), database_time


async def list_workers(conn: AsyncConnection) -> list[Worker]:
    return [Worker(**row) for row in (await conn.execute(select(workers).order_by(workers.c.name))).mappings()]


async def list_alive(conn: AsyncConnection, now: float) -> list[Worker]:
    return [worker for worker in await list_workers(conn) if worker.is_alive(now)]


async def set_draining(conn: AsyncConnection, name: str, draining: bool) -> bool:
    """False when there is no such worker."""
    return bool((await conn.execute(update(workers).where(workers.c.name == name).values(draining=draining))).rowcount)
