"""The heartbeat: what this worker holds, and the orders that come back."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from libs.common import log
from libs.common.http.client import Peer
from libs.common.http.tolerant_list import named
from libs.common.settings import Settings
from services.worker.held_tasks import Holdings

LONGEST_WAIT_S = 5.0
MARGIN_S = 5.0
"""What an answer may take beyond the wait that was asked for."""


class Sync:
    """One call at a time; it is broken off and sent anew when something of our own changed.

    While the scheduler is away the work goes on: only its word ends what this worker holds.
    """

    def __init__(self, settings: Settings, worker: str, holdings: Holdings, scheduler: Peer) -> None:
        self._settings, self._worker, self._holdings, self._scheduler = settings, worker, holdings, scheduler
        self._lease = settings.lease

    async def step(self) -> None:
        """After a change the answer is not waited for long, nor broken off: many changes cannot starve the lease."""
        hurried = self._holdings.changed.is_set()
        self._holdings.changed.clear()
        if hurried:
            await self._call(0.0)
        else:
            await self._long()

    async def _long(self) -> None:
        call = asyncio.create_task(self._call(min(LONGEST_WAIT_S, self._lease / 3)))
        bell = asyncio.create_task(self._holdings.changed.wait())
        try:
            await asyncio.wait([call, bell], return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                await call
        finally:
            for task in (call, bell):
                task.cancel()
            await asyncio.gather(call, bell, return_exceptions=True)

    async def _call(self, wait: float) -> None:
        path = f"/internal/workers/{self._worker}/sync"
        told = [(holding, holding.description) for holding in self._holdings.all()]
        answer = await self._scheduler.post(path, self.document(wait), timeout=wait + MARGIN_S)
        for holding, description in told:
            holding.told = description
        self._obey(answer)

    def document(self, wait: float) -> dict[str, Any]:
        return {
            "host": socket.gethostname(),
            "classes": list(self._settings.worker_classes),
            "slots": self._settings.worker_slots,
            "free": self._holdings.free,
            "labels": self._settings.worker_labels,
            "draining": self._holdings.draining,
            "wait": wait,
            "have": [holding.written() for holding in self._holdings.all()],
        }

    def _obey(self, answer: dict[str, Any]) -> None:
        """An order that cannot be read holds up no other."""
        self._lease = float(answer.get("lease_seconds") or self._lease)
        self._holdings.draining = bool(answer.get("drain"))
        for held in self._holdings.all() if self._holdings.draining else ():
            if held.lease.kind == "stage" and not held.begun:
                held.give("return")
        for order in ("stop", "gone"):
            for one in answer.get(order) or ():
                if not _readable(one):
                    log.get("worker").warning("an order is left out", order=order, entry=named(one))
                elif holding := self._holdings.find(one["task"], one["token"]):
                    holding.give("gone" if order == "gone" else "stop")


def _readable(order: Any) -> bool:
    return isinstance(order, dict) and type(order.get("task")) is str and type(order.get("token")) is int
