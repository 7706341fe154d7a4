"""Brings the outputs of a finished stage to where the caller wanted them; the last copy makes it succeeded."""

from __future__ import annotations

import asyncio

from libs.common.errors import Invalid, MeshError, NotFound, TooLarge
from libs.common.log import get
from services.scheduler import leases, pipeline
from services.scheduler.db import runs, tasks
from services.scheduler.parts import Parts
from services.scheduler.state import Task, reason

COPY_TIMEOUT_S = 600.0
"""One publication; a longer one is asked for again and continues where it was."""
AT_ONCE = 32


class Publisher:
    """Each publication takes its own time: one of many gigabytes holds up no other."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._under_way: dict[str, asyncio.Task[None]] = {}
        """By task."""

    async def step(self) -> None:
        """Begin what waits for it, as far as there is room. What fails is begun again by a later look."""
        async with self._parts.db.read() as c:
            found = await tasks.in_state(c, "stage", "publishing")
        waiting = [task for task in found if task.id not in self._under_way]
        for task in waiting[: AT_ONCE - len(self._under_way)]:
            self._under_way[task.id] = asyncio.create_task(self._try(task))

    async def _try(self, task: Task) -> None:
        try:
            await _publish(self._parts, task)
        except MeshError as error:
            get("scheduler").info("a publication will be repeated", task=task.id, why=error.detail)
        except Exception:  # noqa: BLE001  a defect in one holds up no other; the traceback is logged
            get("scheduler").exception("a publication broke", task=task.id)
        finally:
            if len(self._under_way) == AT_ONCE:
                self._parts.wakes.publish()
            del self._under_way[task.id]

    async def close(self) -> None:
        under_way = list(self._under_way.values())
        for one in under_way:
            one.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _publish(parts: Parts, task: Task) -> None:
    async with parts.db.read() as c:
        run = await runs.get(c, task.app, task.run or "")
    if run is None:
        return
    columns: dict[str, object] = {"state": "succeeded"}
    address = f"/internal/apps/{task.app}/publications/{task.id}-{task.token}"
    try:
        await parts.peers.databox.put(address, {"moves": pipeline.publications(run, task)}, timeout=COPY_TIMEOUT_S)
    except TooLarge as error:
        columns = {"state": "failed", "reason": refused("quota", error)}
    except (Invalid, NotFound) as error:
        columns = {"state": "failed", "reason": refused("output", error)}
    await _finish(parts, task, columns)


def refused(code: str, error: MeshError) -> dict[str, object]:
    return {**error.members, **reason(code, error.detail)}


async def _finish(parts: Parts, task: Task, columns: dict[str, object]) -> None:
    async with parts.db.write() as c:
        run, fresh, now = await leases.locked(c, task.id)
        if run is None or fresh is None or (fresh.state, fresh.token) != ("publishing", task.token):
            return
        settled = await leases.settle(parts, c, run, fresh, {**columns, "finished_at": now}, now)
    leases.announce(parts, fresh, run, settled)
