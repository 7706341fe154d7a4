"""Rows of images that workers have built: one for each key and engine."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.scheduler.db.tables import images
from services.scheduler.model.built_image import BuiltImage


async def save(conn: AsyncConnection, app: str, built: BuiltImage, now: float) -> None:
    """A later image of the same key replaces the earlier one of its engine."""
    statement = upsert(conn, images)
    values = {"app": app, **vars(built), "built_at": now, "used_at": now}
    updates = {name: statement.excluded[name] for name in ("image", "log", "built_at", "used_at")}
    await conn.execute(
        statement.values(values).on_conflict_do_update(index_elements=["app", "key", "engine"], set_=updates)
    )


async def list_by_keys(conn: AsyncConnection, app: str, keys: Sequence[str]) -> list[BuiltImage]:
    query = select(images.c.key, images.c.image, images.c.engine, images.c.log)
    query = query.where(images.c.app == app, images.c.key.in_(keys)).order_by(images.c.key, images.c.built_at)
    return [BuiltImage(**row) for row in (await conn.execute(query)).mappings()]


async def mark_used(conn: AsyncConnection, app: str, keys: Sequence[str], now: float) -> None:
    if keys:
        used = update(images).where(images.c.app == app, images.c.key.in_(keys))
        await conn.execute(used.values(used_at=now))
