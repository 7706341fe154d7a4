"""Rows of the stage cache: outputs by cache key (image, command and inputs), and the runs that use them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.scheduler.db.tables import cache_uses, runs, stage_cache
from services.scheduler.model.task import CachedOutputs, ReusedAttempt, Task


async def find_entry(conn: AsyncConnection, app: str, key: str) -> CachedOutputs | None:
    """The outputs for this key; the row is locked against its removal."""
    query = select(stage_cache, runs.c.user).join(runs, runs.c.id == stage_cache.c.run)
    query = query.where(stage_cache.c.app == app, stage_cache.c.key == key).with_for_update(of=stage_cache)
    row = (await conn.execute(query)).mappings().first()
    return (
        CachedOutputs(ReusedAttempt(row["run"], row["stage"], row["token"], row["user"]), row["outputs"])
        if row
        else None
    )


async def save_entry(conn: AsyncConnection, task: Task, key: str, outputs: Any, now: float) -> None:
    values = {"run": task.run, "stage": task.name, "token": task.token, "outputs": outputs, "created_at": now}
    statement = upsert(conn, stage_cache).values(app=task.app, key=key, **values)
    await conn.execute(statement.on_conflict_do_update(index_elements=["app", "key"], set_=values))


async def add_use(conn: AsyncConnection, source: str, run: str) -> None:
    """Record that `run` uses outputs of the run `source`, whose files stay as long as `run` exists."""
    statement = upsert(conn, cache_uses).values(source=source, run=run)
    await conn.execute(statement.on_conflict_do_nothing(index_elements=["source", "run"]))


async def delete_run_entries(conn: AsyncConnection, run: str) -> None:
    await conn.execute(delete(stage_cache).where(stage_cache.c.run == run))
    await conn.execute(delete(cache_uses).where(cache_uses.c.run == run))
