"""Doorbells and claims: how this worker gets its work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from libs.common import log
from libs.common.bus import Bus, Queue
from libs.common.bus import Consumer as Line
from libs.common.errors import MeshError
from libs.common.http.client import Peer
from libs.common.messages import TaskReady
from libs.common.periodic_task import Loop
from libs.common.settings import Settings
from services.worker.held_tasks import Holdings
from services.worker.lease import Lease

CLAIM_S = 15.0
"""How often it is asked for work without a message; what nobody took is announced again by the scheduler."""


class Consumer:
    def __init__(
        self, settings: Settings, worker: str, holdings: Holdings, scheduler: Peer, begin: Callable[[Lease], None]
    ) -> None:
        self._settings, self._worker, self._holdings = settings, worker, holdings
        self._scheduler, self._begin = scheduler, begin
        self.loop = Loop("claims", self.claim_all, CLAIM_S)
        self._one = asyncio.Lock()

    async def listen(self, bus: Bus, resource_class: str) -> None:
        """Takes doorbells of one class while there is room."""
        queue = Queue(f"tasks.{resource_class}", (f"{TaskReady.tag}.{resource_class}",))
        async with bus.consume(queue) as line:
            while True:
                await self._room(line)
                delivery = await line.next()
                try:
                    await self._answer(delivery.message.task if isinstance(delivery.message, TaskReady) else None)
                finally:
                    await delivery.ack()

    async def _room(self, line: Line) -> None:
        if self._holdings.free:
            return
        await line.pause()
        await self._holdings.until_room()
        await line.resume()

    async def _answer(self, task: str | None) -> None:
        try:
            if await self.claim(task):
                await self.claim_all()
        except MeshError as error:
            log.get("worker").info("claim failed; it is repeated until it succeeds", why=error.detail)
            self.loop.wake()

    async def claim_all(self) -> None:
        """Whatever waits and fits."""
        while await self.claim(None):
            continue

    async def claim(self, task: str | None) -> bool:
        """Whether there may be another for us; one call at a time, so that `free` is true."""
        if self._holdings.draining:
            return False
        async with self._one:
            body = {
                "worker": self._worker,
                "classes": list(self._settings.worker_classes),
                "task": task,
                "free": self._holdings.free,
            }
            answer = await self._scheduler.post("/internal/claims", body)
            if not answer or not answer.get("lease"):
                return False
            self._take(answer["lease"])
            return bool(answer.get("more", True))

    def _take(self, given: Any) -> None:
        """One that cannot be read ends by itself: nobody renews it."""
        try:
            lease = Lease.of(given)
        except ValueError as error:
            log.get("worker").error("a lease is left out", why=str(error))
            return
        self._begin(lease)
