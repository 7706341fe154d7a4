"""Task publisher: publishes messages that a task is ready. They are hints; the task's row is the outbox.

A window bounds how many messages wait in the broker, so that workers claim by priority and not by age. While the window
has credits, the transaction that makes tasks ready marks them as dispatched, and publishes after its commit. All
others, and those that no worker has claimed, are left to the ready relay.
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
"""More tasks that become ready together are left to the relay, which orders them."""
WINDOW_REFRESH_S = 0.5
"""While workers claim tasks, the relay counts the waiting messages again after this time,"""
WINDOW_REFRESH_CLAIMS = 16
"""or after this many claims."""


def task_queue(resource_class: str) -> Queue:
    return Queue(f"tasks.{resource_class}", (f"task.ready.v1.{resource_class}",))


class ReadyPublisher:
    """`wake_relay` requests a run of the ready relay, which calls `refill`."""

    def __init__(self, bus: Bus, wake_relay: Callable[[], None]) -> None:
        self._bus, self._wake_relay = bus, wake_relay
        self._credits: dict[str, int] = {}
        self._refreshed_at = 0.0
        self._claims = 0
        self._declared = False
        self._failed: set[ReadyTask] = set()
        """Tasks that are marked as dispatched, but whose message the broker rejected."""
        self._publishing: set[asyncio.Task[None]] = set()

    def refill(self, credits: Mapping[str, int]) -> None:
        """Set how many more messages may wait in the broker, by resource class."""
        self._credits, self._refreshed_at, self._claims = dict(credits), time.monotonic(), 0

    def reserve(self, ready: Iterable[ReadyTask]) -> tuple[ReadyTask, ...]:
        """Select the tasks to mark as dispatched and to publish after the commit. The relay takes care of the rest."""
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
        """Whether a recent count found the window full: until a claim the relay would find the same."""
        return self._credits.get(resource_class) == 0 and time.monotonic() - self._refreshed_at < WINDOW_REFRESH_S

    def _reserve_one(self, resource_class: str) -> bool:
        credits = self._credits.get(resource_class, 0)
        self._credits[resource_class] = max(0, credits - 1)
        return credits > 0

    def on_claim(self) -> None:
        """Note a claim while other tasks are ready: one message less waits in the broker."""
        self._claims += 1
        if self._claims >= WINDOW_REFRESH_CLAIMS or time.monotonic() - self._refreshed_at > WINDOW_REFRESH_S:
            self._wake_relay()

    def publish_soon(self, reserved: Iterable[ReadyTask]) -> None:
        """Publish in the background; the relay retries what the broker rejects."""
        if ready_tasks := tuple(reserved):
            task = asyncio.create_task(self._publish_in_background(ready_tasks))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)

    async def _publish_in_background(self, ready_tasks: tuple[ReadyTask, ...]) -> None:
        if failed := set(ready_tasks) - set(await self.publish(ready_tasks)):
            self._failed |= failed
            self._wake_relay()

    async def retry_failed(self) -> None:
        """Publish again what the broker rejected. Raises Unavailable when it still rejects some."""
        pending, self._failed = self._failed, set()
        self._failed |= pending - set(await self.publish(pending))
        if self._failed:
            raise Unavailable("the message broker is not accepting messages")

    async def publish(self, ready_tasks: Iterable[ReadyTask]) -> tuple[ReadyTask, ...]:
        """Publish; returns the tasks whose message the broker has accepted."""
        pending = tuple(ready_tasks)
        with suppress(Unavailable):
            await self._declare_queues()
        results = await asyncio.gather(*(self._publish_one(ready_task) for ready_task in pending))
        published = tuple(ready_task for ready_task, is_accepted in zip(pending, results, strict=True) if is_accepted)
        if len(published) < len(pending):
            self._declared = False  # a restarted broker may have lost the queues
        return published

    async def _declare_queues(self) -> None:
        """Declare the queues of the default classes, so that messages wait there for the first worker."""
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
