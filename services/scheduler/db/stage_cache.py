"""Rows of the stage cache: which attempt made what from the same image, command and inputs, and who uses it again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.scheduler.db.tables import cache, reuses, runs
from services.scheduler.model.state import Task


async def find(c: AsyncConnection, app: str, key: str) -> dict[str, Any] | None:
    """`run`, its `user`, `stage`, `token` and `outputs` of the attempt; locked, so that it is not removed meanwhile."""
    query = select(cache, runs.c.user).join(runs, runs.c.id == cache.c.run)
    query = query.where(cache.c.app == app, cache.c.key == key).with_for_update(of=cache)
    row = (await c.execute(query)).mappings().first()
    return dict(row) if row else None


async def put(c: AsyncConnection, task: Task, key: str, outputs: Any, now: float) -> None:
    values = {"run": task.run, "stage": task.name, "token": task.token, "outputs": outputs, "created_at": now}
    added = upsert(c, cache).values(app=task.app, key=key, **values)
    await c.execute(added.on_conflict_do_update(index_elements=["app", "key"], set_=values))


async def reuse(c: AsyncConnection, source: str, run: str) -> None:
    """While `run` is there, the files of `source` stay."""
    added = upsert(c, reuses).values(source=source, run=run)
    await c.execute(added.on_conflict_do_nothing(index_elements=["source", "run"]))


async def forget(c: AsyncConnection, run: str) -> None:
    await c.execute(delete(cache).where(cache.c.run == run))
    await c.execute(delete(reuses).where(reuses.c.run == run))
