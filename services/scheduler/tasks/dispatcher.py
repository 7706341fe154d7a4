"""Doorbells: hints in the broker that a task is ready. The task's row is the outbox, and says for which was rung.

Few wait in the broker at a time, so that what is claimed is the best of what is ready, not the oldest. While there are
some left, a transaction that makes tasks ready marks them as rung for, and rings after its commit; for all others, and
again for those whose doorbell came to nothing, rings the relay.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from libs.common.bus import Bus, Queue
from libs.common.errors import Unavailable
from libs.common.messages import TaskReady
from services.scheduler.model.state import Doorbell

CLASSES = ("cpu", "gpu")
FEW = 8
"""More that become ready together are left to the relay, which orders them."""
COUNT_AGAIN_S = 0.2
"""After which what waits in the broker is counted again, while tasks are claimed,"""
CLAIMS = 16
"""or after so many of them."""


def queue(resource_class: str) -> Queue:
    return Queue(f"tasks.{resource_class}", (f"task.ready.v1.{resource_class}",))


class Doorbells:
    """`relay` asks for a look at what is ready, which is answered with `counted`."""

    def __init__(self, bus: Bus, relay: Callable[[], None]) -> None:
        self._bus, self._relay = bus, relay
        self._left: dict[str, int] = {}
        self._counted = 0.0
        self._claims = 0
        self._declared = False
        self._refused: set[Doorbell] = set()
        """Tasks that are marked as rung for, and whose doorbell the broker did not take."""
        self._ringing: set[asyncio.Task[None]] = set()

    def counted(self, left: Mapping[str, int]) -> None:
        """By class, how many more may wait in the broker."""
        self._left, self._counted, self._claims = dict(left), time.monotonic(), 0

    def take(self, ready: Iterable[Doorbell]) -> tuple[Doorbell, ...]:
        """Those of them that are to be marked, and rung for after the commit. The relay looks after the rest."""
        every = tuple(ready)
        taken = [one for one in every if self._one_left(one.resource_class)] if len(every) <= FEW else []
        if not all(one in taken or self._full(one.resource_class) for one in every):
            self._relay()
        return tuple(taken)

    def _full(self, resource_class: str) -> bool:
        """As was counted a moment ago: a look would find no room, until something is claimed."""
        return self._left.get(resource_class) == 0 and time.monotonic() - self._counted < COUNT_AGAIN_S

    def _one_left(self, resource_class: str) -> bool:
        left = self._left.get(resource_class, 0)
        self._left[resource_class] = max(0, left - 1)
        return left > 0

    def claimed(self) -> None:
        """A task was claimed while others wait: there is one doorbell less."""
        self._claims += 1
        if self._claims >= CLAIMS or time.monotonic() - self._counted > COUNT_AGAIN_S:
            self._relay()

    def ring(self, taken: Iterable[Doorbell]) -> None:
        """Without waiting for the broker; the relay rings again for what it does not take."""
        if wanted := tuple(taken):
            task = asyncio.create_task(self._ring(wanted))
            self._ringing.add(task)
            task.add_done_callback(self._ringing.discard)

    async def _ring(self, wanted: tuple[Doorbell, ...]) -> None:
        if refused := set(wanted) - set(await self.rung(wanted)):
            self._refused |= refused
            self._relay()

    async def ring_again(self) -> None:
        """Ring for what the broker did not take. Raises Unavailable when it takes nothing now."""
        again, self._refused = self._refused, set()
        self._refused |= again - set(await self.rung(again))
        if self._refused:
            raise Unavailable("the message broker takes no doorbells at the moment")

    async def rung(self, wanted: Iterable[Doorbell]) -> tuple[Doorbell, ...]:
        """Those of them that the broker has taken."""
        every = tuple(wanted)
        with suppress(Unavailable):
            await self._declare()
        results = await asyncio.gather(*(self._publish(one) for one in every))
        rung = tuple(one for one, good in zip(every, results, strict=True) if good)
        if len(rung) < len(every):
            self._declared = False  # its queues may be gone
        return rung

    async def _declare(self) -> None:
        """The queues of the classes every mesh has, so that a doorbell waits for the first worker."""
        if not self._declared:
            for resource_class in CLASSES:
                await self._bus.declare(queue(resource_class))
            self._declared = True

    async def _publish(self, one: Doorbell) -> bool:
        try:
            await self._bus.publish(TaskReady(task=one.task, resource_class=one.resource_class))
        except Unavailable:
            return False
        return True
