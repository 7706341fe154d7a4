"""`/api/v1/workers` and `/api/v1/queues`: what operators look at."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from libs.common.bus import Queue
from libs.common.db import clock
from libs.common.errors import NotFound
from services.scheduler import notifications
from services.scheduler.db import ready_queue, tasks, workers
from services.scheduler.routes.dependencies import TheCaller, TheParts
from services.scheduler.runs import views
from services.scheduler.tasks import dispatcher

router = APIRouter(prefix="/api/v1")


@router.get("/workers")
async def listing(parts: TheParts, caller: TheCaller) -> dict[str, Any]:
    caller.require("read")
    async with parts.db.read() as c:
        now = await clock(c)
        found = [
            views.worker(one, await tasks.list_claimed_by(c, one.name), now) for one in await workers.list_workers(c)
        ]
    return {"items": found, "next": None}


@router.post("/workers/{name}/drain", status_code=202)
async def drain(parts: TheParts, caller: TheCaller, name: str, off: bool = False) -> dict[str, Any]:
    """The worker takes nothing new and hands back what it has not begun; its instances move where another takes them.

    `?off=true` takes the order back.
    """
    caller.require("admin")
    async with parts.db.write() as c:
        if not await workers.set_draining(c, name, not off):
            raise NotFound(f"no worker {name}")
        held = await tasks.list_claimed_by(c, name)
    parts.bells.ring(notifications.worker(name))
    for app in {task.app for task in held if task.kind == "instance"}:
        parts.wakes.converge(app)
    return {"name": name, "draining": not off}


@router.get("/queues")
async def queues(parts: TheParts, caller: TheCaller) -> dict[str, Any]:
    """What waits for workers, by resource class, and what nobody could use."""
    caller.require("read")
    async with parts.db.read() as c:
        now = await clock(c)
        depths = {one["resource_class"]: one for one in await ready_queue.get_queue_depths(c)}
    letters = await parts.bus.dead()
    return {
        "items": [
            views.queue(dispatcher.task_queue(one), depths.get(one), letters, now) for one in dispatcher.DEFAULT_CLASSES
        ],
        "next": None,
    }


@router.get("/queues/{name}/dead")
async def dead(parts: TheParts, caller: TheCaller, name: str) -> dict[str, Any]:
    caller.require("read")
    mine = _queue(name)
    found = [one for one in await parts.bus.dead() if mine.takes(one.key)]
    return {"items": [views.letter(one) for one in found], "next": None}


@router.post("/queues/{name}/redrive", status_code=202)
async def redrive(parts: TheParts, caller: TheCaller, name: str) -> dict[str, Any]:
    """What was refused is queued again."""
    caller.require("admin")
    return {"name": name, "redriven": await parts.bus.redrive(_queue(name))}


def _queue(name: str) -> Queue:
    found = {dispatcher.task_queue(one).name: dispatcher.task_queue(one) for one in dispatcher.DEFAULT_CLASSES}
    if name not in found:
        raise NotFound(f"no queue {name}; queues are {', '.join(found)}")
    return found[name]
