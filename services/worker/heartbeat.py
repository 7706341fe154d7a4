"""The heartbeat: renews leases, reports the status of held tasks, and applies the orders of the response."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

from libs.common.http.client import ServiceClient
from libs.common.protocol.claim import FIRST_KINDS, TaskKind
from libs.common.protocol.heartbeat import Heartbeat, HeartbeatResponse
from libs.common.settings import Settings
from services.worker.held_tasks import HeldTasks
from services.worker.host_memory import is_memory_low

MAX_WAIT_S = 5.0
QUIET_S = 0.12
"""How long after a change no other one has to come before the next long poll: one would abort it at once."""
RESPONSE_MARGIN_S = 5.0
"""How long the response may take beyond the requested wait."""


class HeartbeatSender:
    """One long poll at a time; a change of a held task aborts it and sends the next.

    While the scheduler is unavailable the work continues: only an order ends a held task.
    """

    def __init__(
        self,
        settings: Settings,
        worker: str,
        held_tasks: HeldTasks,
        scheduler: ServiceClient,
        kinds: tuple[TaskKind, ...] = FIRST_KINDS,
        engine: str = "",
    ) -> None:
        self._settings, self._worker, self._held_tasks, self._scheduler = settings, worker, held_tasks, scheduler
        self._kinds, self._engine = kinds, engine
        self._lease_s = settings.lease

    async def run_once(self) -> None:
        """After a change, send without wait or abort, so that frequent changes cannot starve lease renewal."""
        is_change = self._held_tasks.changed.is_set()
        self._held_tasks.changed.clear()
        if is_change:
            await self._send(0.0)
            await self._held_tasks.wait_for_change(QUIET_S)
        else:
            await self._long_poll()

    async def _long_poll(self) -> None:
        call = asyncio.create_task(self._send(min(MAX_WAIT_S, self._lease_s / 3)))
        change = asyncio.create_task(self._held_tasks.changed.wait())
        try:
            await asyncio.wait([call, change], return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                await call
        finally:
            for task in (call, change):
                task.cancel()
            await asyncio.gather(call, change, return_exceptions=True)

    async def _send(self, wait: float) -> None:
        path = f"/internal/workers/{self._worker}/sync"
        sent = [(held_task, held_task.status) for held_task in self._held_tasks.list_tasks()]
        response = await self._scheduler.post(path, self.to_json(wait), timeout=wait + RESPONSE_MARGIN_S)
        for held_task, status in sent:
            held_task.mark_reported(status)
        self._apply_orders(HeartbeatResponse.model_validate(response))

    def to_json(self, wait: float) -> Mapping[str, object]:
        heartbeat = Heartbeat(
            host=socket.gethostname(),
            classes=self._settings.worker_classes,
            kinds=self._kinds,
            engine=self._engine or None,
            slots=self._settings.worker_slots,
            free=self._held_tasks.free_slots,
            labels=self._settings.worker_labels,
            draining=self._held_tasks.draining,
            memory_low=is_memory_low(),
            wait=wait,
        )
        return {**heartbeat.to_json(), "have": [held_task.dump_status() for held_task in self._held_tasks.list_tasks()]}

    def _apply_orders(self, orders: HeartbeatResponse) -> None:
        self._lease_s = orders.lease_seconds
        self._held_tasks.draining = orders.drain
        for held_task in self._held_tasks.list_tasks() if self._held_tasks.draining else ():
            if held_task.lease.kind == "stage" and not held_task.has_started:
                held_task.set_order("return")
        for task in orders.stop:
            if target := self._held_tasks.find(task.task, task.token):
                target.set_order("stop")
        for task in orders.revoked:
            if target := self._held_tasks.find(task.task, task.token):
                target.set_order("gone")
