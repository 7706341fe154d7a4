"""What this worker holds now: leases, what is known of each, and the orders about them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import orjson

from libs.common import log
from services.worker.lease import Lease

SOON_S = 0.1
"""After which the scheduler is told how a stage goes; a short one has ended by then."""
Order = Literal["stop", "gone", "return"]
"""`return`: this worker stops, hand it back unharmed."""
State = Literal["staging", "pulling", "starting", "running", "healthy", "unhealthy", "uploading", "stopping"]


class Holding:
    """One lease and what is known of it; every `show` wakes the heartbeat."""

    def __init__(self, lease: Lease, changed: Callable[[Lease], None]) -> None:
        self.lease = lease
        self.order: Order | None = None
        self._shown: dict[str, Any] = {"state": "staging"}
        self.told: dict[str, Any] | None = None
        """The description that the scheduler has: it is long, and not said again."""
        self._ordered = asyncio.Event()
        self._changed = changed

    def show(self, **values: Any) -> None:
        if {**self._shown, **values} != self._shown:
            self._shown.update(values)
            self._changed(self.lease)

    @property
    def begun(self) -> bool:
        """What it does may have been seen by others."""
        return self._shown["state"] not in ("staging", "pulling")

    @property
    def progress(self) -> list[int] | None:
        """The last that it told."""
        found: list[int] | None = self._shown.get("progress")
        return found

    def give(self, order: Order) -> None:
        """The first order counts, but `gone` overrules any."""
        if self.order is None or order == "gone":
            self.order = order
        self._ordered.set()

    async def ordered(self) -> None:
        await self._ordered.wait()

    @property
    def description(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._shown.get("openapi")
        return found

    def document(self) -> dict[str, Any]:
        known = {"openapi": None} if self.description is self.told else {}
        blank = {"detail": None, "progress": None, "endpoint": None, "openapi": None, "model_etag": None}
        return {"task": self.lease.task, "token": self.lease.token, **blank, **self._shown, **known}

    def written(self) -> orjson.Fragment:
        """Its document as JSON. What cannot be written of it is left out: the lease is to be kept all the same."""
        try:
            return orjson.Fragment(orjson.dumps(self.document()))
        except TypeError:
            bad = {name for name, value in self._shown.items() if not _writable(value)}
            log.get("worker").warning("cannot be told", task=self.lease.task, fields=sorted(bad))
            good = {name: value for name, value in self.document().items() if name not in bad}
            return orjson.Fragment(orjson.dumps({"state": "running", **good}))


def _writable(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


class Holdings:
    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._held: dict[tuple[str, int], Holding] = {}
        self.changed = asyncio.Event()
        self.draining = False
        self._later: asyncio.TimerHandle | None = None
        self._dropped = asyncio.Event()

    def add(self, lease: Lease) -> Holding | None:
        """None when it is held already."""
        key = (lease.task, lease.token)
        if key in self._held:
            return None
        self._held[key] = Holding(lease, self._note)
        self._note(lease)
        return self._held[key]

    def drop(self, holding: Holding) -> None:
        self._held.pop((holding.lease.task, holding.lease.token), None)
        self._note(holding.lease)
        self._dropped.set()

    def _note(self, lease: Lease) -> None:
        """An instance's news are told at once: calls may wait for them. A stage's are for people, who look slowly."""
        if lease.kind == "instance":
            self.changed.set()
        elif self._later is None or self._later.when() < asyncio.get_running_loop().time():
            self._later = asyncio.get_running_loop().call_later(SOON_S, self.changed.set)

    async def until_room(self) -> None:
        await self._until(lambda: self.free > 0)

    async def until_empty(self) -> None:
        await self._until(lambda: not self._held)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._dropped.clear()
            await self._dropped.wait()

    def find(self, task: str, token: int) -> Holding | None:
        return self._held.get((task, token))

    def all(self) -> list[Holding]:
        return list(self._held.values())

    @property
    def free(self) -> int:
        """Slots count stages only."""
        return max(0, self._slots - sum(holding.lease.kind == "stage" for holding in self._held.values()))
