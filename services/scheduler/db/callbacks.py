"""Rows of callbacks and of their deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.callbacks.events import Callback, Delivery
from services.scheduler.db import due_work as of_time
from services.scheduler.db.tables import callbacks, deliveries


async def get(c: AsyncConnection, run: str, *, lock: bool = False) -> Callback | None:
    query = select(callbacks).where(callbacks.c.run == run)
    row = (await c.execute(query.with_for_update() if lock else query)).mappings().first()
    return Callback(**row) if row else None


async def news(c: AsyncConnection, limit: int) -> list[Callback]:
    """Callbacks whose runs have changed since they were looked at."""
    query = select(callbacks).select_from(of_time.CHANGED).where(of_time.NEWS)
    return [Callback(**row) for row in (await c.execute(query.limit(limit))).mappings()]


async def change(c: AsyncConnection, run: str, columns: Mapping[str, Any]) -> None:
    await c.execute(update(callbacks).where(callbacks.c.run == run).values(**columns))


async def deliver(c: AsyncConnection, delivery: Delivery) -> None:
    await c.execute(insert(deliveries), [delivery.__dict__])


async def due(c: AsyncConnection, now: float, limit: int) -> list[Delivery]:
    query = select(deliveries).where(of_time.undelivered(now))
    return [Delivery(**row) for row in (await c.execute(query.order_by(deliveries.c.next_at).limit(limit))).mappings()]


async def of_run(c: AsyncConnection, run: str) -> list[Delivery]:
    query = select(deliveries).where(deliveries.c.run == run).order_by(deliveries.c.created_at, deliveries.c.id)
    return [Delivery(**row) for row in (await c.execute(query)).mappings()]


async def change_delivery(c: AsyncConnection, identity: str, columns: Mapping[str, Any]) -> None:
    await c.execute(update(deliveries).where(deliveries.c.id == identity).values(**columns))
