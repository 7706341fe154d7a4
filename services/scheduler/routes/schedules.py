"""`/api/v1/apps/{ns}/schedules`: what starts by itself, when, and how the last start went."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from services.scheduler.db import schedules as table
from services.scheduler.routes.dependencies import TheCaller, TheParts
from services.scheduler.runs import schedules, views

router = APIRouter(prefix="/api/v1/apps/{ns}/schedules")


@router.get("")
async def listing(parts: TheParts, caller: TheCaller, ns: str) -> dict[str, Any]:
    caller.require("read", ns)
    async with parts.db.read() as c:
        found = await table.list_by_app(c, ns)
    return {"items": [views.schedule(one) for one in found], "next": None}


@router.post("/{pipeline}/pause")
async def pause(parts: TheParts, caller: TheCaller, ns: str, pipeline: str) -> dict[str, Any]:
    caller.require("write", ns)
    return views.schedule(await schedules.pause(parts, ns, pipeline, paused=True))


@router.post("/{pipeline}/resume")
async def resume(parts: TheParts, caller: TheCaller, ns: str, pipeline: str) -> dict[str, Any]:
    caller.require("write", ns)
    return views.schedule(await schedules.pause(parts, ns, pipeline, paused=False))
