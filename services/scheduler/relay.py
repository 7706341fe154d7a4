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
from services.scheduler.db import Connection, line, workers
from services.scheduler.parts import Parts
from services.scheduler.state import Worker

WINDOW = 64
"""Doorbells that may wait in the broker,"""
AHEAD = 4
"""or so many for each slot."""
RING_AGAIN_S = 10.0
LOOK_S = 2.0
CLASSES = ("cpu", "gpu")


def queue(resource_class: str) -> Queue:
    return Queue(f"tasks.{resource_class}", (f"task.ready.v1.{resource_class}",))


class Relay:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._declared = False
        self._looked = 0.0

    async def step(self) -> None:
        """Ring for what is ready. Raises Unavailable when the broker is away: what was not rung for stays as it is."""
        async with self._parts.db.read() as c:
            now = await clock(c)
            wanted = await self._wanted(c, now)
        if not wanted:
            return
        await self._declare()
        results = await asyncio.gather(*(self._ring(*one) for one in wanted))
        rung = [task for (task, _), good in zip(wanted, results, strict=True) if good]
        if rung:
            async with self._parts.db.write() as c:
                await line.rung(c, rung, now)
        if len(rung) < len(wanted):
            self._declared = False  # its queues may be gone
            raise Unavailable("the message broker takes no doorbells at the moment")

    async def _wanted(self, c: Connection, now: float) -> list[tuple[str, str]]:
        """New ones where few are rung for, many at a time; old ones that nobody took, where somebody has room."""
        found, ringing = await workers.listed(c), await line.ringing(c)
        window, most = max(WINDOW, AHEAD * sum(worker.slots for worker in found)), self._parts.settings.app_stages
        quiet = [one for one in CLASSES if ringing.get(one, 0) < window / 2]
        new = await line.unrung(c, quiet, None, window // 2, most) if quiet else []
        if not self._due(now) or not (room := roomy(found, now)):
            return new
        return [*new, *await line.unrung(c, room, now - RING_AGAIN_S, WINDOW, most)]

    def _due(self, now: float) -> bool:
        """Whether those that nobody took are to be looked at: now and then."""
        if now - self._looked < LOOK_S:
            return False
        self._looked = now
        return True

    async def _declare(self) -> None:
        """The queues of the classes every mesh has, so that a doorbell waits for the first worker."""
        if not self._declared:
            for resource_class in CLASSES:
                await self._parts.bus.declare(queue(resource_class))
            self._declared = True

    async def _ring(self, task: str, resource_class: str) -> bool:
        try:
            await self._parts.bus.publish(TaskReady(task=task, resource_class=resource_class))
        except Unavailable:
            return False
        return True


def roomy(found: Iterable[Worker], now: float) -> frozenset[str]:
    """The classes of which some living worker has room."""
    alive = [worker for worker in found if worker.free > 0 and now - worker.seen_at < RING_AGAIN_S]
    return frozenset(one for worker in alive for one in worker.classes)
