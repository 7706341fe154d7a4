"""The relay: rings for tasks that are ready. The task's row is the outbox: the commit that makes it ready asks for it.

The broker's queues stay short: only the next few tasks are rung for, best first, and one that nobody took is rung again
only while some worker has room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from libs.common.bus import Queue
from libs.common.db import clock
from libs.common.errors import Unavailable
from libs.common.messages import TaskReady
from services.scheduler.db import tasks, workers
from services.scheduler.parts import Parts
from services.scheduler.state import Task, Worker

WINDOW = 64
"""Tasks that are rung for in one step."""
RING_AGAIN_S = 10.0
CLASSES = ("cpu", "gpu")


def queue(resource_class: str) -> Queue:
    return Queue(f"tasks.{resource_class}", (f"task.ready.v1.{resource_class}",))


async def declare(parts: Parts) -> None:
    """The queues of the classes every mesh has, so that a doorbell waits for the first worker."""
    for resource_class in CLASSES:
        await parts.bus.declare(queue(resource_class))


async def step(parts: Parts) -> None:
    """Ring for what is ready. Raises Unavailable when the broker is away: what was not rung for stays in its row."""
    async with parts.db.read() as c:
        now = await clock(c)
        silent = await tasks.unrung(c, now - RING_AGAIN_S, WINDOW, parts.settings.app_stages)
        again = any(task.rung_at is not None for task in silent)
        room = roomy(await workers.listed(c), now) if again else frozenset()
    found = [task for task in silent if task.rung_at is None or task.resource_class in room]
    if not found:
        return
    await declare(parts)
    results = await asyncio.gather(*(_ring(parts, task) for task in found))
    rung = [task.id for task, good in zip(found, results, strict=True) if good]
    if rung:
        async with parts.db.write() as c:
            await tasks.rung(c, rung, now)
    if len(rung) < len(found):
        raise Unavailable("the message broker takes no doorbells at the moment")


def roomy(found: Iterable[Worker], now: float) -> frozenset[str]:
    """The classes of which some living worker has room."""
    alive = [worker for worker in found if worker.free > 0 and now - worker.seen_at < RING_AGAIN_S]
    return frozenset(one for worker in alive for one in worker.classes)


async def _ring(parts: Parts, task: Task) -> bool:
    try:
        await parts.bus.publish(TaskReady(task=task.id, resource_class=task.resource_class))
    except Unavailable:
        return False
    return True
