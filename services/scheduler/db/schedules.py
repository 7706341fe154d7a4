"""Rows of schedules: when each scheduled pipeline starts next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.scheduler.db import due_conditions
from services.scheduler.db.tables import schedules
from services.scheduler.model.schedule import Schedule, ScheduleSpec


def _schedule_from_row(row: RowMapping) -> Schedule:
    return Schedule(**{**row, "spec": ScheduleSpec.from_json(row["spec"])})


async def list_by_app(conn: AsyncConnection, app: str) -> list[Schedule]:
    query = select(schedules).where(schedules.c.app == app).order_by(schedules.c.pipeline)
    return [_schedule_from_row(row) for row in (await conn.execute(query)).mappings()]


async def get(conn: AsyncConnection, app: str, pipeline: str) -> Schedule | None:
    """The schedule, its row locked until the transaction ends."""
    query = select(schedules).where(schedules.c.app == app, schedules.c.pipeline == pipeline).with_for_update()
    row = (await conn.execute(query)).mappings().first()
    return _schedule_from_row(row) if row else None


async def list_due(conn: AsyncConnection, now: float) -> list[Schedule]:
    query = select(schedules).where(due_conditions.schedule_due(now))
    return [_schedule_from_row(row) for row in (await conn.execute(query.order_by(schedules.c.next_at))).mappings()]


async def put(conn: AsyncConnection, schedule: Schedule) -> None:
    values = {**schedule.__dict__, "spec": schedule.spec.to_json()}
    statement = upsert(conn, schedules).values(**values)
    await conn.execute(statement.on_conflict_do_update(index_elements=["app", "pipeline"], set_=values))


async def update_schedule(conn: AsyncConnection, schedule: Schedule, columns: Mapping[str, Any]) -> None:
    where = (schedules.c.app == schedule.app, schedules.c.pipeline == schedule.pipeline)
    await conn.execute(update(schedules).where(*where).values(**columns))


async def remove_schedules(conn: AsyncConnection, app: str, except_pipelines: frozenset[str] = frozenset()) -> None:
    await conn.execute(delete(schedules).where(schedules.c.app == app, schedules.c.pipeline.not_in(except_pipelines)))
