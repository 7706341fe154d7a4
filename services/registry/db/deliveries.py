"""Rows of handled webhook deliveries, for idempotency."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.registry.db.tables import deliveries

RETENTION_S = 7 * 24 * 3600.0
"""Forges redeliver within days, not weeks."""


async def find_delivery(conn: AsyncConnection, app: str, delivery: str) -> tuple[bool, str | None]:
    """Whether the delivery was handled before, and its deployment."""
    query = select(deliveries.c.deployment).where(deliveries.c.app == app, deliveries.c.id == delivery)
    row = (await conn.execute(query)).first()
    return row is not None, row[0] if row else None


async def record_delivery(conn: AsyncConnection, app: str, delivery: str, deployment: str | None, now: float) -> None:
    values = {"app": app, "id": delivery, "deployment": deployment, "received_at": now}
    await conn.execute(upsert(conn, deliveries).values(**values).on_conflict_do_nothing())


async def prune(conn: AsyncConnection, now: float) -> None:
    await conn.execute(delete(deliveries).where(deliveries.c.received_at < now - RETENTION_S))
