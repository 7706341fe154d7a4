"""What callers do with runs that have begun: look, wait, cancel, retry. A change is committed before the answer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from libs.common.db import clock
from libs.common.errors import Conflict, Gone, Invalid, MeshError, NotFound
from libs.common.periodic_task import for_each
from services.scheduler import notifications
from services.scheduler.db import Connection, callbacks, ready_queue, tasks, tombstones, workers
from services.scheduler.db import runs as rows
from services.scheduler.dependencies import Parts
from services.scheduler.model.reason import reason
from services.scheduler.model.run import Run
from services.scheduler.model.task import Task
from services.scheduler.runs import views
from services.scheduler.runs.pending_reason import EMPTY, Queue
from services.scheduler.tasks import apply, transitions


async def view(parts: Parts, app: str, run_id: str, *, owner: bool = False) -> tuple[Run, dict[str, Any]]:
    """The run and its representation. Raises NotFound, Gone."""
    async with parts.db.read() as c:
        run = await present(c, app, run_id, lock=False)
        return run, await shown(c, run, owner=owner)


async def shown(c: Connection, run: Run, *, owner: bool = False) -> dict[str, Any]:
    """Its representation, for an owner of the app or for others."""
    stages = await tasks.list_by_run(c, run.id)
    chained = await rows.list_chain(c, run.chain) if run.chain else ()
    return views.run(run, stages, await _queue(c, stages), chained, owner=owner)


async def _queue(c: Connection, stages: Iterable[Task]) -> Queue:
    """Asked for only when somebody waits in it."""
    if not any(task.state == "ready" for task in stages):
        return EMPTY
    return Queue(await ready_queue.list_ready_stages(c), await workers.list_alive(c, await clock(c)))


async def listed(parts: Parts, found: list[Run], *, owner: bool) -> list[dict[str, Any]]:
    async with parts.db.read() as c:
        stages = await tasks.list_by_runs(c, [run.id for run in found])
        queue = await _queue(c, [task for run in stages.values() for task in run])
    return [views.run(run, stages[run.id], queue, whole=False, owner=owner) for run in found]


async def wait(
    parts: Parts, app: str, run_id: str, seconds: float, etag: str | None, *, owner: bool = False
) -> tuple[Run, dict[str, Any]]:
    """The run once its ETag is no longer `etag` (without one: once it has ended), or after `seconds`.

    While nothing changes a waiter costs no query: who changes the run rings, and the lookout for other schedulers.
    """
    until = time.monotonic() + seconds

    async def look() -> tuple[Run, dict[str, Any]] | None:
        return await (_once_ended if etag is None else view)(parts, app, run_id, owner=owner)

    with parts.bells.listen((notifications.end if etag is None else notifications.run)(run_id)) as bell:
        while True:
            seen = await parts.looks.together(f"{etag is None}/{owner}/{app}/{run_id}", look)
            left = until - time.monotonic()
            if seen is not None and (etag is None or views.etag(seen[0]) != etag):
                return seen
            if left <= 0 or parts.bells.closed:
                return seen or await view(parts, app, run_id, owner=owner)
            await bell.wait(left)


async def _once_ended(parts: Parts, app: str, run_id: str, *, owner: bool) -> tuple[Run, dict[str, Any]] | None:
    """The run and its representation, which is made only when it has ended. Raises NotFound, Gone."""
    async with parts.db.read() as c:
        run = await present(c, app, run_id, lock=False)
        return (run, await shown(c, run, owner=owner)) if run.is_final else None


async def cancel(parts: Parts, app: str, run_id: str) -> None:
    """Idempotent. Raises Conflict when it has ended otherwise."""
    async with parts.db.write() as c:
        now = await clock(c)
        run = await present(c, app, run_id)
        if run.status in ("canceling", "canceled"):
            return
        if run.is_final:
            raise Conflict(f"the run has {run.status}", code="finished")
        run = await rows.update_run(
            c, run, {"status": "canceling", "reason": reason("canceled", "a caller canceled it")}
        )
        settled = await apply.apply_transition(parts, c, run, None, {}, now)
    _ring(parts, run_id, settled)


async def end(parts: Parts, app: str, run_id: str) -> None:
    """Cancel it unless it has ended by itself."""
    with suppress(Conflict):
        await cancel(parts, app, run_id)


async def end_overdue(parts: Parts) -> None:
    """End runs that were not started, or did not finish, in time."""
    async with parts.db.read() as c:
        late = await rows.list_overdue(c, await clock(c))
    await for_each(late, lambda run: _end_one(parts, run), lambda run: run.id)


async def _end_one(parts: Parts, found: Run) -> None:
    async with parts.db.write() as c:
        now = await clock(c)
        run = await rows.get(c, found.app, found.id, lock=True)
        if run is None or run.is_final or run.status == "canceling" or run.deadline >= now:
            return
        run = await rows.update_run(c, run, {"status": "canceling", "reason": transitions.deadline_reason(run)})
        settled = await apply.apply_transition(parts, c, run, None, {}, now)
    _ring(parts, found.id, settled)


async def retry(parts: Parts, app: str, run_id: str, from_stage: str | None) -> None:
    """Run it again, all or from a stage on; with it what continued it, or the chain that it is part of.

    Raises Conflict unless it failed, was canceled or expired.
    """
    async with parts.db.write() as c:
        now = await clock(c)
        await _reopen_chain(c, app, run_id)
        run = await present(c, app, run_id)
        stages = await tasks.list_by_run(c, run_id)
        if run.is_chain_head:
            await rows.detach_successors(c, run.id)
        if run.status not in ("failed", "canceled", "expired"):
            raise Conflict(f"only a failed, canceled or expired run can be retried; this one is {run.status}")
        names = [task.name for task in stages]
        if from_stage is not None and from_stage not in names:
            raise Invalid(f"no stage {from_stage}; stages are {', '.join(names)}")
        for task, columns in transitions.reset_for_retry(run, stages, from_stage).items():
            await tasks.update_task(c, task, columns)
        again = {
            "status": "queued",
            "reason": None,
            "attempt": run.attempt + 1,
            "started_at": None,
            "finished_at": None,
            "deadline": now + run.plan["timeout"],
        }
        run = await rows.update_run(c, run, {**again, "created_at": run.created_at})
        await callbacks.update_callback(c, run.id, {"open": True})
        settled = await apply.apply_transition(parts, c, run, None, {}, now)
    _ring(parts, run_id, settled)


async def _reopen_chain(c: Connection, app: str, run_id: str) -> None:
    """The chain goes on when its last run does. Locked before that one: chains are locked from the front."""
    run = await rows.get(c, app, run_id)
    if run is None or run.chain is None or run.is_chain_head:
        return
    if run.position is None:
        raise Conflict(f"a later attempt of {run.chain} has taken the place of this run; retry that one")
    first = await present(c, app, run.chain)
    if first.is_final and first.status != "succeeded":
        await rows.update_run(c, first, {"status": "running", "reason": None, "finished_at": None})
        await callbacks.update_callback(c, first.id, {"open": True})


async def present(c: Connection, app: str, run_id: str, *, lock: bool = True) -> Run:
    """Raises NotFound, Gone."""
    run = await rows.get(c, app, run_id, lock=lock)
    if run is None:
        raise await missing(c, app, run_id)
    return run


async def missing(c: Connection, app: str, run_id: str) -> MeshError:
    if await tombstones.has_tombstone(c, app, run_id):
        return Gone(f"the run {run_id} was removed")
    return NotFound(f"no run {run_id}")


def _ring(parts: Parts, run_id: str, settled: apply.AppliedTransition) -> None:
    parts.wakes.relay()
    parts.wakes.succeed()
    apply.notify_waiters(parts, run_id, settled)
