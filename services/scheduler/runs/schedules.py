"""Commands on schedules: save those of a revision that goes live, pause and resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from libs.common.db import Database, database_time
from libs.common.errors import NotFound
from libs.common.frozen import copy_with
from libs.common.manifests.catalog import Catalog
from services.scheduler.db import Connection
from services.scheduler.db import schedules as schedule_rows
from services.scheduler.model.schedule import Schedule, ScheduleSpec


async def save_schedules(conn: Connection, app: str, catalog: Catalog, now: float) -> None:
    """Store the schedules of a revision that goes live. Unchanged times keep their next start; a pause stays."""
    stored = {row.pipeline: row for row in await schedule_rows.list_by_app(conn, app)}
    declared = {name: pipeline.spec.schedule for name, pipeline in catalog.pipelines.items() if pipeline.spec.schedule}
    for name, schedule in declared.items():
        spec = ScheduleSpec(schedule.cron, schedule.timezone, schedule.inputs, schedule.concurrency_policy)
        previous = stored.get(name)
        if previous is None:
            await schedule_rows.put(conn, Schedule(app=app, pipeline=name, spec=spec, next_at=spec.next_start(now)))
            continue
        is_unchanged = (previous.spec.cron, previous.spec.timezone) == (spec.cron, spec.timezone)
        next_at = previous.next_at if is_unchanged else spec.next_start(now)
        await schedule_rows.put(conn, replace(previous, spec=spec, next_at=next_at))
    await schedule_rows.remove_schedules(conn, app, frozenset(declared))


async def set_paused(db: Database, app: str, pipeline: str, *, paused: bool) -> Schedule:
    """Pause a schedule, or resume it with the next start after now. Raises NotFound."""
    async with db.write() as conn:
        schedule = await schedule_rows.get(conn, app, pipeline)
        if schedule is None:
            raise NotFound(f"{pipeline} has no schedule")
        columns: Mapping[str, Any] = {"paused": paused}
        if schedule.paused and not paused:
            next_at = schedule.spec.next_start(await database_time(conn))
            columns = {"paused": False, "next_at": next_at}
        await schedule_rows.update_schedule(conn, schedule, columns)
    return copy_with(schedule, **columns)
