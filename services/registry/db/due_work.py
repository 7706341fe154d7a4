"""Due work: one statement tells which background loops have something to do."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.db import apps, commit_statuses
from services.registry.db.tables import deployments, removals

DueKind = Literal["deployments", "polls", "commit statuses", "removals"]

CONDITIONS: dict[DueKind, ColumnElement[bool]] = {
    "deployments": exists().where(deployments.c.status == "pending"),
    "polls": apps.SECONDS_UNTIL_POLL.scalar_subquery() <= 0.0,
    "commit statuses": commit_statuses.SECONDS_UNTIL_DUE.scalar_subquery() <= 0.0,
    "removals": exists().select_from(removals),
}
DUE = select(*CONDITIONS.values())


async def find_due_work(conn: AsyncConnection) -> set[DueKind]:
    flags = (await conn.execute(DUE)).one()
    return {kind for kind, is_due in zip(CONDITIONS, flags, strict=True) if is_due}
