"""Brings chains of runs on: starts the run that continues one that succeeded, ends the chain with its last."""

from __future__ import annotations

from libs.common.db import clock
from libs.common.periodic_task import for_each
from services.scheduler import notifications
from services.scheduler.db import runs as rows
from services.scheduler.db import tasks
from services.scheduler.dependencies import Parts
from services.scheduler.plans.planner import new_run_id
from services.scheduler.runs import chain, queries, writer


async def step(parts: Parts) -> None:
    async with parts.db.read() as c:
        found = await rows.list_open_chains(c)
    await for_each(found, lambda one: _bring_on_all(parts, *one), lambda one: one[1])


async def _bring_on_all(parts: Parts, app: str, first: str) -> None:
    while await _bring_on(parts, app, first):
        continue


async def _bring_on(parts: Parts, app: str, identity: str) -> bool:
    """Whether a run was started, after which there may be more to do."""
    async with parts.db.write() as c:
        now = await clock(c)
        first = await rows.get(c, app, identity, lock=True)
        if first is None or first.is_final:
            return False
        rest = (await rows.list_chain(c, identity))[1:]
        found = chain.follow(first, await tasks.list_by_run(c, identity), rest, now)
        if found.run is not None:
            await rows.update_run(c, first, found.run)
        elif found.start is not None:
            before = rest[-1] if rest else first
            stages = await tasks.list_by_run(c, before.id)
            draft = chain.successor(first, before, stages, found.start, new_run_id())
            await writer.add(c, [writer.begun(draft, now)])
            await rows.update_run(c, first, {})
    if found.cancel is not None:
        await queries.end(parts, app, found.cancel)
    parts.wakes.relay()
    parts.wakes.tell()
    parts.bells.ring(notifications.run(identity))
    parts.bells.ring(notifications.end(identity))
    return found.start is not None
