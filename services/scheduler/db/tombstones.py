"""Rows of marks: where a run was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db.tables import marks, reuses


async def add(c: AsyncConnection, row: Mapping[str, Any]) -> None:
    await c.execute(insert(marks), [dict(row)])


async def was_here(c: AsyncConnection, app: str, run: str) -> bool:
    query = select(marks.c.run).where(marks.c.run == run, marks.c.app == app)
    return (await c.execute(query)).first() is not None


async def uncleared(c: AsyncConnection, limit: int) -> list[dict[str, Any]]:
    """Those whose files may go: no other run has taken them over from the cache."""
    used = exists().where(reuses.c.source == marks.c.run)
    query = select(marks).where(marks.c.left.is_not(None), ~used).order_by(marks.c.at).limit(limit)
    return [dict(row) for row in (await c.execute(query)).mappings()]


async def cleared(c: AsyncConnection, run: str) -> None:
    await c.execute(update(marks).where(marks.c.run == run).values(left=None))


async def forget(c: AsyncConnection, before: float) -> None:
    await c.execute(delete(marks).where(marks.c.at < before, marks.c.left.is_(None)))
