"""Rows of tasks of kind `image` and `build`. They are deleted once the rollout has their answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db.tables import attempts, tasks
from services.scheduler.db.task_rows import task_from_row
from services.scheduler.model.task import Task


async def list_by_app(conn: AsyncConnection, app: str) -> list[Task]:
    """In any state."""
    return [task_from_row(row) for row in (await conn.execute(_select_by_app(app))).mappings()]


async def lock_by_app(conn: AsyncConnection, app: str) -> list[Task]:
    """In any state; the rows stay locked until the transaction ends."""
    return [task_from_row(row) for row in (await conn.execute(_select_by_app(app).with_for_update())).mappings()]


def _select_by_app(app: str) -> Select[Any]:
    return select(tasks).where(tasks.c.app == app, tasks.c.kind.in_(("image", "build"))).order_by(tasks.c.id)


async def delete_tasks(conn: AsyncConnection, ended: Iterable[Task]) -> None:
    """Delete them with their attempts."""
    if task_ids := [task.id for task in ended]:
        await conn.execute(delete(attempts).where(attempts.c.task.in_(task_ids)))
        await conn.execute(delete(tasks).where(tasks.c.id.in_(task_ids)))
