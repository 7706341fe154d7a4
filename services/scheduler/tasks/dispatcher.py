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
from services.scheduler.model.task import ReadyTask

DEFAULT_CLASSES = ("cpu", "gpu")
MAX_DIRECT_DISPATCH = 8
"""More that become ready together are left to the relay, which orders them."""
WINDOW_REFRESH_S = 0.2
"""After which what waits in the broker is counted again, while tasks are claimed,"""
WINDOW_REFRESH_CLAIMS = 16
"""or after so many of them."""


def task_queue(resource_class: str) -> Queue:
    return Queue(f"tasks.{resource_class}", (f"task.ready.v1.{resource_class}",))


class TaskDispatcher:
    """`relay` asks for a look at what is ready, which is answered with `counted`."""

    def __init__(self, bus: Bus, wake_relay: Callable[[], None]) -> None:
        self._bus, self._wake_relay = bus, wake_relay
        self._credits: dict[str, int] = {}
        self._refreshed_at = 0.0
        self._claims = 0
        self._declared = False
        self._failed: set[ReadyTask] = set()
        """Tasks that are marked as rung for, and whose doorbell the broker did not take."""
        self._publishing: set[asyncio.Task[None]] = set()

    def refill(self, credits: Mapping[str, int]) -> None:
        """By class, how many more may wait in the broker."""
        self._credits, self._refreshed_at, self._claims = dict(credits), time.monotonic(), 0

    def reserve(self, ready: Iterable[ReadyTask]) -> tuple[ReadyTask, ...]:
        """Those of them that are to be marked, and rung for after the commit. The relay looks after the rest."""
        candidates = tuple(ready)
        reserved = (
            [task for task in candidates if self._reserve_one(task.resource_class)]
            if len(candidates) <= MAX_DIRECT_DISPATCH
            else []
        )
        if not all(task in reserved or self._is_window_full(task.resource_class) for task in candidates):
            self._wake_relay()
        return tuple(reserved)

    def _is_window_full(self, resource_class: str) -> bool:
        """As was counted a moment ago: a look would find no room, until something is claimed."""
        return self._credits.get(resource_class) == 0 and time.monotonic() - self._refreshed_at < WINDOW_REFRESH_S

    def _reserve_one(self, resource_class: str) -> bool:
        credits = self._credits.get(resource_class, 0)
        self._credits[resource_class] = max(0, credits - 1)
        return credits > 0

    def on_claim(self) -> None:
        """A task was claimed while others wait: there is one doorbell less."""
        self._claims += 1
        if self._claims >= WINDOW_REFRESH_CLAIMS or time.monotonic() - self._refreshed_at > WINDOW_REFRESH_S:
            self._wake_relay()

    def publish_soon(self, reserved: Iterable[ReadyTask]) -> None:
        """Without waiting for the broker; the relay rings again for what it does not take."""
        if ready_tasks := tuple(reserved):
            task = asyncio.create_task(self._publish_in_background(ready_tasks))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)

    async def _publish_in_background(self, ready_tasks: tuple[ReadyTask, ...]) -> None:
        if failed := set(ready_tasks) - set(await self.publish(ready_tasks)):
            self._failed |= failed
            self._wake_relay()

    async def retry_failed(self) -> None:
        """Ring for what the broker did not take. Raises Unavailable when it takes nothing now."""
        pending, self._failed = self._failed, set()
        self._failed |= pending - set(await self.publish(pending))
        if self._failed:
            raise Unavailable("the message broker takes no doorbells at the moment")

    async def publish(self, ready_tasks: Iterable[ReadyTask]) -> tuple[ReadyTask, ...]:
        """Those of them that the broker has taken."""
        pending = tuple(ready_tasks)
        with suppress(Unavailable):
            await self._declare_queues()
        results = await asyncio.gather(*(self._publish_one(ready_task) for ready_task in pending))
        published = tuple(ready_task for ready_task, is_accepted in zip(pending, results, strict=True) if is_accepted)
        if len(published) < len(pending):
            self._declared = False  # its queues may be gone
        return published

    async def _declare_queues(self) -> None:
        """The queues of the classes every mesh has, so that a doorbell waits for the first worker."""
        if not self._declared:
            for resource_class in DEFAULT_CLASSES:
                await self._bus.declare(task_queue(resource_class))
            self._declared = True

    async def _publish_one(self, ready_task: ReadyTask) -> bool:
        try:
            await self._bus.publish(TaskReady(task=ready_task.task, resource_class=ready_task.resource_class))
        except Unavailable:
            return False
        return True
