"""The relay: rings for what is ready and was not rung for by who made it so, best first.

One that nobody took is rung again only while some worker has room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from libs.common.db import clock
from libs.common.errors import Unavailable
from services.scheduler.db import Connection, ready_queue, workers
from services.scheduler.dependencies import Parts
from services.scheduler.model.state import Doorbell, Worker
from services.scheduler.tasks.dispatcher import CLASSES

WINDOW = 64
"""Doorbells that may wait in the broker,"""
AHEAD = 4
"""or so many for each slot."""
RING_AGAIN_S = 10.0
LOOK_S = 2.0


class Relay:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._looked = 0.0

    async def step(self) -> None:
        """Ring for what is ready. Raises Unavailable when the broker is away: what was not rung for stays as it is."""
        doorbells = self._parts.doorbells
        async with self._parts.db.read() as c:
            now = await clock(c)
            wanted = await self._wanted(c, now)
        if rung := await doorbells.rung(wanted):
            async with self._parts.db.write() as c:
                await ready_queue.rung(c, [one.task for one in rung], now)
        if len(rung) < len(wanted):
            raise Unavailable("the message broker takes no doorbells at the moment")
        await doorbells.ring_again()

    async def _wanted(self, c: Connection, now: float) -> list[Doorbell]:
        """New ones where few are rung for, many at a time; old ones that nobody took, where somebody has room."""
        found, ringing = await workers.listed(c), await ready_queue.ringing(c)
        window, most = max(WINDOW, AHEAD * sum(worker.slots for worker in found)), self._parts.settings.app_stages
        quiet = [one for one in CLASSES if ringing.get(one, 0) < window / 2]
        new = await ready_queue.unrung(c, quiet, None, window // 2, most) if quiet else []
        waiting = Counter(ringing) + Counter(one.resource_class for one in new)
        # with a limit, one may be rung for in vain: this look alone knows whose turn it is
        self._parts.doorbells.counted({} if most else {one: window - waiting[one] for one in CLASSES})
        if not self._due(now) or not (room := roomy(found, now)):
            return new
        return [*new, *await ready_queue.unrung(c, room, now - RING_AGAIN_S, WINDOW, most)]

    def _due(self, now: float) -> bool:
        """Whether those that nobody took are to be looked at: now and then."""
        if now - self._looked < LOOK_S:
            return False
        self._looked = now
        return True


def roomy(found: Iterable[Worker], now: float) -> frozenset[str]:
    """The classes of which some living worker has room."""
    alive = [worker for worker in found if worker.free > 0 and now - worker.seen_at < RING_AGAIN_S]
    return frozenset(one for worker in alive for one in worker.classes)
