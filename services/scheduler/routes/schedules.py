"""`/api/v1/apps/{ns}/schedules`: list, pause and resume schedules."""

from __future__ import annotations

from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page
from services.scheduler.db import schedules as schedule_rows
from services.scheduler.routes.dependencies import CallerDep, DependenciesDep
from services.scheduler.runs import schedules
from services.scheduler.runs.schedule_views import ScheduleJson, schedule_to_json

router = DocumentedRouter(prefix="/api/v1/apps/{ns}/schedules", tags=["schedules"])


@router.get("")
async def list_schedules(deps: DependenciesDep, caller: CallerDep, ns: str) -> Page[ScheduleJson]:
    caller.require_scope("read", ns)
    async with deps.db.read() as conn:
        rows = await schedule_rows.list_by_app(conn, ns)
    return {"items": [schedule_to_json(schedule) for schedule in rows], "next": None}


@router.post("/{pipeline}/pause")
async def pause_schedule(deps: DependenciesDep, caller: CallerDep, ns: str, pipeline: str) -> ScheduleJson:
    """No start until it is resumed."""
    caller.require_scope("develop", ns)
    return schedule_to_json(await schedules.set_paused(deps.db, ns, pipeline, paused=True))


@router.post("/{pipeline}/resume")
async def resume_schedule(deps: DependenciesDep, caller: CallerDep, ns: str, pipeline: str) -> ScheduleJson:
    caller.require_scope("develop", ns)
    return schedule_to_json(await schedules.set_paused(deps.db, ns, pipeline, paused=False))
