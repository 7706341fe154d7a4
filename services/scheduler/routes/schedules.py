"""`/api/v1/apps/{ns}/schedules`: list, pause and resume schedules."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from services.scheduler.db import schedules as schedule_rows
from services.scheduler.routes.dependencies import CallerDep, DependenciesDep
from services.scheduler.runs import schedules, views

router = APIRouter(prefix="/api/v1/apps/{ns}/schedules")


@router.get("")
async def list_schedules(deps: DependenciesDep, caller: CallerDep, ns: str) -> dict[str, Any]:
    caller.require_scope("read", ns)
    async with deps.db.read() as conn:
        rows = await schedule_rows.list_by_app(conn, ns)
    return {"items": [views.schedule_to_json(schedule) for schedule in rows], "next": None}


@router.post("/{pipeline}/pause")
async def pause_schedule(deps: DependenciesDep, caller: CallerDep, ns: str, pipeline: str) -> dict[str, Any]:
    caller.require_scope("write", ns)
    return views.schedule_to_json(await schedules.set_paused(deps.db, ns, pipeline, paused=True))


@router.post("/{pipeline}/resume")
async def resume_schedule(deps: DependenciesDep, caller: CallerDep, ns: str, pipeline: str) -> dict[str, Any]:
    caller.require_scope("write", ns)
    return views.schedule_to_json(await schedules.set_paused(deps.db, ns, pipeline, paused=False))
