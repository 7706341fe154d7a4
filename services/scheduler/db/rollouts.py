"""Rows of rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.scheduler.db.tables import rollouts
from services.scheduler.model.rollout import Rollout


async def add_rollout(conn: AsyncConnection, rollout: Rollout) -> bool:
    """False when the rollout exists already."""
    statement = upsert(conn, rollouts).values(**rollout.__dict__).on_conflict_do_nothing(index_elements=["deployment"])
    return bool((await conn.execute(statement)).rowcount)


async def list_active_rollouts(conn: AsyncConnection, app: str | None = None) -> list[Rollout]:
    """Rollouts in status `starting`, oldest first."""
    query = (
        select(rollouts).where(rollouts.c.status == "starting").order_by(rollouts.c.created_at, rollouts.c.deployment)
    )
    if app is not None:
        query = query.where(rollouts.c.app == app)
    return [Rollout(**row) for row in (await conn.execute(query)).mappings()]


async def list_unreported_rollouts(conn: AsyncConnection) -> list[Rollout]:
    query = select(rollouts).where(rollouts.c.reported.is_(False)).order_by(rollouts.c.created_at)
    return [Rollout(**row) for row in (await conn.execute(query)).mappings()]


async def update_rollout(conn: AsyncConnection, deployment: str, columns: Mapping[str, Any]) -> None:
    await conn.execute(update(rollouts).where(rollouts.c.deployment == deployment).values(**columns))


async def mark_rollout_reported(conn: AsyncConnection, rollout: Rollout) -> None:
    """Mark the rollout as reported, unless it has changed since `rollout` was read."""
    conditions = (rollouts.c.deployment == rollout.deployment, rollouts.c.status == rollout.status)
    row = (await conn.execute(select(rollouts.c.steps).where(*conditions).with_for_update())).first()
    if row is not None and row[0] == rollout.steps:
        await conn.execute(update(rollouts).where(*conditions).values(reported=True))
