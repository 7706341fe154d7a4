"""Brings the outputs of a finished stage to where the caller wanted them; the last copy makes it succeeded."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

from libs.common.errors import MeshError, TooLarge
from libs.common.log import get
from services.scheduler.db import runs, tasks
from services.scheduler.dependencies import Parts
from services.scheduler.model.state import Reason, Task, reason
from services.scheduler.plans import planner
from services.scheduler.tasks import leases, transitions

COPY_TIMEOUT_S = 600.0
"""One publication; a longer one is asked for again and continues where it was."""
WITHDRAW_TIMEOUT_S = 10.0
"""How long a run that is canceled waits for what was published of it to go."""
AT_ONCE = 32
FIRST_REST_S = 1.0
MAX_DETAIL = 1000
MAX_REST_S = 60.0
"""Between two tries of one publication that fails for a reason that may pass."""


@dataclass(frozen=True)
class Rest:
    """The pause of a publication that failed."""

    failures: int
    until: float
    """Of the monotonic clock."""

    @classmethod
    def after(cls, before: Rest | None, now: float) -> Rest:
        failures = before.failures + 1 if before else 1
        return cls(failures, now + min(MAX_REST_S, FIRST_REST_S * 2.0 ** (failures - 1)))


class Publisher:
    """Each publication takes its own time: one of many gigabytes holds up no other."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._under_way: dict[str, tuple[Task, asyncio.Task[None]]] = {}
        """As it was when it was begun, and what is done with it."""
        self._resting: dict[str, Rest] = {}

    async def step(self) -> None:
        """Begin what waits for it, as far as there is room; end what is not wanted any more."""
        async with self._parts.db.read() as c:
            found = {task.id: task for task in await tasks.in_state(c, "stage", "publishing")}
        self._resting = {task: rest for task, rest in self._resting.items() if task in found}
        for begun, doing in self._under_way.values():
            if begun.id in found and found[begun.id].stop and not begun.stop:
                doing.cancel()  # its end wakes us, and it is withdrawn
        waiting = [task for task in found.values() if task.id not in self._under_way and self._is_due(task)]
        for task in waiting[: AT_ONCE - len(self._under_way)]:
            self._under_way[task.id] = task, asyncio.create_task(self._try(task))

    def _is_due(self, task: Task) -> bool:
        rest = self._resting.get(task.id)
        return task.stop or rest is None or rest.until <= time.monotonic()

    async def _try(self, task: Task) -> None:
        try:
            await (_withdraw if task.stop else _publish)(self._parts, task)
        except MeshError as error:
            await self._rest(task, error.detail)
        except Exception as error:  # noqa: BLE001  a defect in one holds up no other; the traceback is logged
            get("scheduler").exception("a publication broke", task=task.id)
            await self._rest(task, repr(error))
        finally:
            del self._under_way[task.id]
            if len(self._under_way) == AT_ONCE - 1 or _is_cancelled():
                self._parts.wakes.publish()

    async def _rest(self, task: Task, why: str) -> None:
        """Until it is tried again, which is shown."""
        rest = self._resting[task.id] = Rest.after(self._resting.get(task.id), time.monotonic())
        pause = rest.until - time.monotonic()
        get("scheduler").info("a publication will be repeated", task=task.id, why=why, failures=rest.failures)
        with suppress(MeshError):
            await _show(self._parts, task, f"{why}; it is tried again in {pause:.0f} s")

    async def close(self) -> None:
        under_way = [doing for _, doing in self._under_way.values()]
        for one in under_way:
            one.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


def _is_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


async def _publish(parts: Parts, task: Task) -> None:
    """Raises MeshError when it may succeed another time."""
    async with parts.db.read() as c:
        run = await runs.get(c, task.app, task.run or "")
    if run is None:
        return
    columns: dict[str, object] = {"state": "succeeded"}
    moves = planner.publications(run, task)
    try:
        await parts.peers.databox.put(_address(task), {"moves": moves}, timeout=COPY_TIMEOUT_S)
    except MeshError as error:
        if error.retryable or not 400 <= error.status < 500:
            raise
        columns = {"state": "failed", "reason": refused(error)}
    await _finish(parts, task, columns)


async def _withdraw(parts: Parts, task: Task) -> None:
    """Its run is to end: what was published of it goes, unless databox is away."""
    try:
        await parts.peers.databox.delete(_address(task), timeout=WITHDRAW_TIMEOUT_S)
    except MeshError as error:
        get("scheduler").warning("what was published of a canceled run may stay", task=task.id, why=error.detail)
    await _finish(parts, task, {"state": "canceled", "stop": False})


def _address(task: Task) -> str:
    return f"/internal/apps/{task.app}/publications/{task.id}-{task.token}"


def refused(error: MeshError) -> Reason:
    """Why outputs cannot be where the caller wants them."""
    return {**error.members, **reason("quota" if isinstance(error, TooLarge) else "output", error.detail)}


async def _finish(parts: Parts, task: Task, columns: dict[str, object]) -> None:
    async with parts.db.write() as c:
        run, fresh, now = await leases.locked(c, task.id)
        if run is None or fresh is None or (fresh.state, fresh.token) != ("publishing", task.token):
            return
        settled = await leases.settle(parts, c, run, fresh, {**columns, "finished_at": now}, now)
    leases.announce(parts, fresh, run, settled)


async def _show(parts: Parts, task: Task, why: str) -> None:
    async with parts.db.write() as c:
        run, fresh, _now = await leases.locked(c, task.id)
        if run is None or fresh is None or (fresh.state, fresh.token) != ("publishing", task.token):
            return
        await tasks.change(c, task.id, {"detail": f"{transitions.publishing(run, task)}: {why}"[:MAX_DETAIL]})
    leases.announce(parts, fresh, run, leases.Settled())
