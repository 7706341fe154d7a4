"""Claims tasks from the scheduler: when a message says that one is ready, and periodically."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from libs.common import log
from libs.common.bus import Bus, Consumer, Queue
from libs.common.errors import MeshError
from libs.common.http.client import ServiceClient
from libs.common.messages import TaskReady
from libs.common.periodic_task import PeriodicTask
from libs.common.protocol.claim import FIRST_KINDS, ClaimRequest, TaskKind
from libs.common.settings import Settings
from services.worker.held_tasks import HeldTasks
from services.worker.lease import Lease

CLAIM_INTERVAL_S = 15.0
"""How often the worker claims without a message: messages are only hints, and may be lost."""

MAX_BUILDS = 2
"""Images that one worker builds at a time; builds take no slot."""


class TaskClaimer:
    def __init__(
        self,
        settings: Settings,
        worker: str,
        held_tasks: HeldTasks,
        scheduler: ServiceClient,
        start_lease: Callable[[Lease], None],
        kinds: tuple[TaskKind, ...] = FIRST_KINDS,
        engine: str = "",
    ) -> None:
        self._settings, self._worker, self._held_tasks = settings, worker, held_tasks
        self._scheduler, self._start_lease, self._kinds, self._engine = scheduler, start_lease, kinds, engine
        self.poll_loop = PeriodicTask("claims", self.claim_until_full, CLAIM_INTERVAL_S)
        self._claim_lock = asyncio.Lock()

    async def consume_notifications(self, bus: Bus, resource_class: str) -> None:
        """Consume task-ready messages of one resource class; pause while no slot is free."""
        queue = Queue(f"tasks.{resource_class}", (f"{TaskReady.tag}.{resource_class}",))
        async with bus.consume(queue) as consumer:
            while True:
                await self._pause_while_full(consumer)
                delivery = await consumer.next()
                try:
                    await self._on_notification()
                finally:
                    await delivery.ack()

    async def _pause_while_full(self, consumer: Consumer) -> None:
        if self._held_tasks.free_slots:
            return
        await consumer.pause()
        await self._held_tasks.wait_for_free_slot()
        await consumer.resume()

    async def _on_notification(self) -> None:
        try:
            if await self.claim_task():
                await self.claim_until_full()
        except MeshError as error:
            log.get("worker").info("Claim failed; retrying", why=error.detail)
            self.poll_loop.wake()

    async def claim_until_full(self) -> None:
        """Claim until no task is ready or no slot is free."""
        while await self.claim_task():
            continue

    async def claim_task(self) -> bool:
        """Claim one task; return whether there may be more. One claim at a time, so that `free` is accurate."""
        if self._held_tasks.draining:
            return False
        async with self._claim_lock:
            request = ClaimRequest.model_construct(  # the scheduler validates it, and answers with what is wrong
                worker=self._worker,
                classes=self._settings.worker_classes,
                free=self._held_tasks.free_slots,
                kinds=self._list_kinds(),
                engine=self._engine,
            )
            response = await self._scheduler.post("/internal/claims", request.to_json())
            if not response or not response.get("lease"):
                return False
            self._accept_lease(response["lease"])
            return bool(response.get("has_more", response.get("more", True)))

    def _list_kinds(self) -> tuple[TaskKind, ...]:
        """Kinds of tasks that it takes now."""
        is_full = self._held_tasks.count("build") >= MAX_BUILDS
        return tuple(kind for kind in self._kinds if not (is_full and kind == "build"))

    def _accept_lease(self, value: object) -> None:
        """Start a lease. An invalid one is dropped; it expires because nobody renews it."""
        try:
            lease = Lease.from_json(value)
        except ValueError as error:
            log.get("worker").error("Received an invalid lease; dropping it", why=str(error))
            return
        log.get("worker").info("Task claimed", **lease.log_fields)
        self._start_lease(lease)
