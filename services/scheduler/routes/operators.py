"""`/api/v1/workers` and `/api/v1/queues`: what operators look at."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from libs.common.db import clock
from libs.common.errors import NotFound
from services.scheduler import bells, views
from services.scheduler.db import tasks, workers
from services.scheduler.routes.parts import TheCaller, TheParts

router = APIRouter(prefix="/api/v1")


@router.get("/workers")
async def listing(parts: TheParts, caller: TheCaller) -> dict[str, Any]:
    caller.require("read")
    async with parts.db.read() as c:
        now = await clock(c)
        found = [views.worker(one, await tasks.held_by(c, one.name), now) for one in await workers.listed(c)]
    return {"items": found, "next": None}


@router.post("/workers/{name}/drain", status_code=202)
async def drain(parts: TheParts, caller: TheCaller, name: str, off: bool = False) -> dict[str, Any]:
    """The worker takes nothing new; `?off=true` takes the order back."""
    caller.require("admin")
    async with parts.db.write() as c:
        if not await workers.drain(c, name, not off):
            raise NotFound(f"no worker {name}")
    parts.bells.ring(bells.worker(name))
    return {"name": name, "draining": not off}


@router.get("/queues")
async def queues(parts: TheParts, caller: TheCaller) -> dict[str, Any]:
    caller.require("read")
    async with parts.db.read() as c:
        now = await clock(c)
        return {"items": [views.queue(depth, now) for depth in await tasks.depths(c)], "next": None}
