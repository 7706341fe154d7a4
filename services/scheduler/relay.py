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
from services.scheduler.state import Worker

WINDOW = 64
"""Doorbells that may wait in the broker,"""
AHEAD = 4
"""or so many for each slot."""
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
        found = await workers.listed(c)
        window = max(WINDOW, AHEAD * sum(worker.slots for worker in found)) - await tasks.ringing(c)
        new = await tasks.unrung(c, None, max(0, window), parts.settings.app_stages)
        room = roomy(found, now)
        silent = await tasks.unrung(c, now - RING_AGAIN_S, WINDOW, parts.settings.app_stages) if room else []
    wanted = [*new, *(one for one in silent if one[1] in room)]
    if not wanted:
        return
    await declare(parts)
    results = await asyncio.gather(*(_ring(parts, *one) for one in wanted))
    rung = [task for (task, _), good in zip(wanted, results, strict=True) if good]
    if rung:
        async with parts.db.write() as c:
            await tasks.rung(c, rung, now)
    if len(rung) < len(wanted):
        raise Unavailable("the message broker takes no doorbells at the moment")


def roomy(found: Iterable[Worker], now: float) -> frozenset[str]:
    """The classes of which some living worker has room."""
    alive = [worker for worker in found if worker.free > 0 and now - worker.seen_at < RING_AGAIN_S]
    return frozenset(one for worker in alive for one in worker.classes)


async def _ring(parts: Parts, task: str, resource_class: str) -> bool:
    try:
        await parts.bus.publish(TaskReady(task=task, resource_class=resource_class))
    except Unavailable:
        return False
    return True
