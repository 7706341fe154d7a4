"""Brings the outputs of a finished stage to where the caller wanted them; the last copy makes it succeeded."""

from __future__ import annotations

import asyncio

from libs.common.errors import Invalid, MeshError, NotFound, TooLarge
from services.scheduler import leases, pipeline
from services.scheduler.db import runs, tasks
from services.scheduler.parts import Parts
from services.scheduler.state import Task, reason

COPY_TIMEOUT_S = 600.0
"""One publication; a longer one is asked for again and continues where it was."""


async def step(parts: Parts) -> None:
    async with parts.db.read() as c:
        found = await tasks.in_state(c, "stage", "publishing")
    results = await asyncio.gather(*(_publish(parts, task) for task in found), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


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
