"""Held tasks: the leases of this worker, their status for the heartbeat, and the scheduler's orders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Literal, TypedDict, Unpack

import orjson

from libs.common import log
from libs.common.protocol.heartbeat import InstanceEndpoint, TaskStatus
from libs.common.secret_redaction import SecretRedactor
from services.worker.lease import Lease

STAGE_UPDATE_DELAY_S = 0.1
"""Delay of a heartbeat about a stage; a short stage ends within it."""
STAGE_UPDATE_INTERVAL_S = 0.3
"""The shortest time between two of them, which say more together while stages follow each other."""
Order = Literal["stop", "gone", "return"]
"""`stop`: end it and report. `gone`: the lease is over, discard it. `return`: this worker stops, hand it back."""


class StatusChange(TypedDict, total=False):
    """Fields of a status that change together."""

    state: Literal["staging", "pulling", "starting", "running", "healthy", "unhealthy", "uploading", "stopping"]
    detail: str | None
    progress: tuple[int, int]
    endpoint: InstanceEndpoint
    openapi: dict[str, object] | None


class HeldTask:
    """A lease and its status. Every change of the status wakes the heartbeat."""

    def __init__(self, lease: Lease, on_change: Callable[[Lease], None]) -> None:
        self.lease = lease
        self.order: Order | None = None
        self.hidden_values: frozenset[str] = frozenset()
        """Values of Secrets that it was given; neither its log nor its status shows them."""
        self.redactor = SecretRedactor()
        self.status = TaskStatus(task=lease.task, token=lease.token, state="staging")
        self._reported_openapi: dict[str, object] | None = None
        """The OpenAPI document that the scheduler has; it is large, and sent once."""
        self._status_json: orjson.Fragment | None = None
        """Serialized once for each change: most heartbeats change nothing."""
        self._order_event = asyncio.Event()
        self._on_change = on_change

    def hide_values(self, values: Iterable[str]) -> None:
        """Hide more values from now on."""
        self.hidden_values |= frozenset(values)
        self.redactor = SecretRedactor(self.hidden_values)

    def update_status(self, **change: Unpack[StatusChange]) -> None:
        """The scheduler checks the values: it ignores a field that it cannot take."""
        if detail := change.get("detail"):
            change["detail"] = self.redactor.redact(detail)
        if any(getattr(self.status, name) != value for name, value in change.items()):
            self.status, self._status_json = self.status.model_copy(update=dict(change)), None
            self._on_change(self.lease)

    def mark_reported(self, status: TaskStatus) -> None:
        """The scheduler has taken this status."""
        if status.openapi is not self._reported_openapi:
            self._reported_openapi, self._status_json = status.openapi, None

    @property
    def has_started(self) -> bool:
        """Whether its command may have run: then it cannot be handed back."""
        return self.status.state not in ("staging", "pulling")

    def set_order(self, order: Order) -> None:
        """The first order counts, but `gone` overrides any other."""
        if self.order is None or order == "gone":
            self.order = order
        self._order_event.set()

    async def wait_for_order(self) -> None:
        await self._order_event.wait()

    def dump_status(self) -> orjson.Fragment:
        """Serialize the status for a heartbeat."""
        if self._status_json is None:
            is_known = self.status.openapi is not None and self.status.openapi is self._reported_openapi
            status = self.status.model_copy(update={"openapi": None}) if is_known else self.status
            self._status_json = orjson.Fragment(_dump_valid_fields(status))
        return self._status_json


def _dump_valid_fields(status: TaskStatus) -> bytes:
    """Fields that are not JSON are left out, so that the lease is renewed all the same."""
    try:
        return orjson.dumps(status.to_json())
    except (TypeError, ValueError):
        invalid = {name for name in status.model_fields_set if not _is_serializable(status, name)}
        log.get("worker").warning("Status field is not JSON; leaving it out", task=status.task, fields=sorted(invalid))
        return orjson.dumps(status.model_dump(mode="json", exclude_unset=True, exclude=invalid))


def _is_serializable(status: TaskStatus, name: str) -> bool:
    try:
        orjson.dumps(status.model_dump(mode="json", include={name}))
    except (TypeError, ValueError):
        return False
    return True


class HeldTasks:
    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._tasks: dict[tuple[str, int], HeldTask] = {}
        self.changed = asyncio.Event()
        self.draining = False
        self._planned_update: asyncio.TimerHandle | None = None
        self._last_update = 0.0
        """When the last heartbeat about stages was asked for, on the event loop's clock."""
        self._removed = asyncio.Event()

    def add(self, lease: Lease) -> HeldTask | None:
        """Return None if the lease is held already."""
        key = (lease.task, lease.token)
        if key in self._tasks:
            return None
        self._tasks[key] = HeldTask(lease, self._notify_change)
        self._notify_change(lease)
        return self._tasks[key]

    def remove(self, held_task: HeldTask) -> None:
        self._tasks.pop((held_task.lease.task, held_task.lease.token), None)
        self._notify_change(held_task.lease)
        self._removed.set()

    def _notify_change(self, lease: Lease) -> None:
        """Send changes of instances immediately, as requests may wait for them; those of stages after a delay."""
        if lease.kind == "instance":
            self.changed.set()
        elif self._planned_update is None:
            loop = asyncio.get_running_loop()
            at = max(loop.time() + STAGE_UPDATE_DELAY_S, self._last_update + STAGE_UPDATE_INTERVAL_S)
            self._planned_update = loop.call_at(at, self._ask_for_update)

    def _ask_for_update(self) -> None:
        self._planned_update, self._last_update = None, asyncio.get_running_loop().time()
        self.changed.set()

    async def wait_for_change(self, timeout: float) -> None:
        """Return at the next change, or after `timeout` seconds without one, planned ones included."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.changed.wait()
        if self._planned_update is not None:
            await self.changed.wait()

    async def wait_for_free_slot(self) -> None:
        await self._wait_for(lambda: self.free_slots > 0)

    async def wait_until_empty(self) -> None:
        await self._wait_for(lambda: not self._tasks)

    async def _wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._removed.clear()
            await self._removed.wait()

    def find(self, task: str, token: int) -> HeldTask | None:
        return self._tasks.get((task, token))

    def list_tasks(self) -> list[HeldTask]:
        return list(self._tasks.values())

    def count(self, kind: str) -> int:
        """How many tasks of a kind are held."""
        return sum(held_task.lease.kind == kind for held_task in self._tasks.values())

    @property
    def free_slots(self) -> int:
        """Free slots; only stages occupy one."""
        return max(0, self._slots - self.count("stage"))
