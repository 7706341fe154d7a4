"""What callers do with runs that have begun: look, wait, cancel, retry. A change is committed before the answer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from libs.common.db import database_time
from libs.common.errors import Conflict, Gone, Invalid, MeshError, NotFound
from libs.common.periodic_task import for_each
from services.scheduler import notifications
from services.scheduler.db import Connection, callbacks, ready_queue, tasks, tombstones, workers
from services.scheduler.db import runs as run_rows
from services.scheduler.dependencies import Dependencies
from services.scheduler.model.reason import reason
from services.scheduler.model.run import Run
from services.scheduler.model.task import Task
from services.scheduler.runs import views
from services.scheduler.runs.pending_reason import NO_SNAPSHOT, QueueSnapshot
from services.scheduler.tasks import apply, transitions


async def get_run(deps: Dependencies, app: str, run_id: str, *, owner: bool = False) -> tuple[Run, dict[str, Any]]:
    """The run and its representation. Raises NotFound, Gone."""
    async with deps.db.read() as conn:
        run = await require_run(conn, app, run_id, lock=False)
        return run, await load_run_json(conn, run, owner=owner)


async def load_run_json(conn: Connection, run: Run, *, owner: bool = False) -> dict[str, Any]:
    """Its representation, for an owner of the app or for others."""
    stages = await tasks.list_by_run(conn, run.id)
    chain_runs = await run_rows.list_chain(conn, run.chain) if run.chain else ()
    return views.run_to_json(run, stages, await _queue_snapshot(conn, stages), chain_runs, owner=owner)


async def _queue_snapshot(conn: Connection, stages: Iterable[Task]) -> QueueSnapshot:
    """Asked for only when somebody waits in it."""
    if not any(task.state == "ready" for task in stages):
        return NO_SNAPSHOT
    return QueueSnapshot(
        await ready_queue.list_ready_stages(conn), await workers.list_alive(conn, await database_time(conn))
    )


async def list_runs(deps: Dependencies, runs: list[Run], *, owner: bool) -> list[dict[str, Any]]:
    async with deps.db.read() as conn:
        stages = await tasks.list_by_runs(conn, [run.id for run in runs])
        queue = await _queue_snapshot(conn, [task for run in stages.values() for task in run])
    return [views.run_to_json(run, stages[run.id], queue, full=False, owner=owner) for run in runs]


async def wait_for_run(
    deps: Dependencies, app: str, run_id: str, seconds: float, etag: str | None, *, owner: bool = False
) -> tuple[Run, dict[str, Any]]:
    """The run once its ETag is no longer `etag` (without one: once it has ended), or after `seconds`.

    While nothing changes a waiter costs no query: who changes the run rings, and the lookout for other schedulers.
    """
    deadline = time.monotonic() + seconds

    async def read() -> tuple[Run, dict[str, Any]] | None:
        return await (_get_if_ended if etag is None else get_run)(deps, app, run_id, owner=owner)

    with deps.notifier.subscribe(
        (notifications.run_ended if etag is None else notifications.run_changed)(run_id)
    ) as subscription:
        while True:
            result = await deps.run_reads.run(f"{etag is None}/{owner}/{app}/{run_id}", read)
            remaining = deadline - time.monotonic()
            if result is not None and (etag is None or views.run_etag(result[0]) != etag):
                return result
            if remaining <= 0 or deps.notifier.closed:
                return result or await get_run(deps, app, run_id, owner=owner)
            await subscription.wait(remaining)


async def _get_if_ended(deps: Dependencies, app: str, run_id: str, *, owner: bool) -> tuple[Run, dict[str, Any]] | None:
    """The run and its representation, which is made only when it has ended. Raises NotFound, Gone."""
    async with deps.db.read() as conn:
        run = await require_run(conn, app, run_id, lock=False)
        return (run, await load_run_json(conn, run, owner=owner)) if run.is_final else None


async def cancel_run(deps: Dependencies, app: str, run_id: str) -> None:
    """Idempotent. Raises Conflict when it has ended otherwise."""
    async with deps.db.write() as conn:
        now = await database_time(conn)
        run = await require_run(conn, app, run_id)
        if run.status in ("canceling", "canceled"):
            return
        if run.is_final:
            raise Conflict(f"the run has {run.status}", code="finished")
        run = await run_rows.update_run(
            conn, run, {"status": "canceling", "reason": reason("canceled", "a caller canceled it")}
        )
        transition = await apply.apply_transition(deps, conn, run, None, {}, now)
    _notify_changes(deps, run_id, transition)


async def cancel_if_open(deps: Dependencies, app: str, run_id: str) -> None:
    """Cancel it unless it has ended by itself."""
    with suppress(Conflict):
        await cancel_run(deps, app, run_id)


async def cancel_overdue_runs(deps: Dependencies) -> None:
    """End runs that were not started, or did not finish, in time."""
    async with deps.db.read() as conn:
        overdue = await run_rows.list_overdue(conn, await database_time(conn))
    await for_each(overdue, lambda run: _cancel_overdue(deps, run), lambda run: run.id)


async def _cancel_overdue(deps: Dependencies, overdue_run: Run) -> None:
    async with deps.db.write() as conn:
        now = await database_time(conn)
        run = await run_rows.get(conn, overdue_run.app, overdue_run.id, lock=True)
        if run is None or run.is_final or run.status == "canceling" or run.deadline >= now:
            return
        run = await run_rows.update_run(conn, run, {"status": "canceling", "reason": transitions.deadline_reason(run)})
        transition = await apply.apply_transition(deps, conn, run, None, {}, now)
    _notify_changes(deps, overdue_run.id, transition)


async def retry_run(deps: Dependencies, app: str, run_id: str, from_stage: str | None) -> None:
    """Run it again, all or from a stage on; with it what continued it, or the chain that it is part of.

    Raises Conflict unless it failed, was canceled or expired.
    """
    async with deps.db.write() as conn:
        now = await database_time(conn)
        await _reopen_chain(conn, app, run_id)
        run = await require_run(conn, app, run_id)
        stages = await tasks.list_by_run(conn, run_id)
        if run.is_chain_head:
            await run_rows.detach_successors(conn, run.id)
        if run.status not in ("failed", "canceled", "expired"):
            raise Conflict(f"only a failed, canceled or expired run can be retried; this one is {run.status}")
        names = [task.name for task in stages]
        if from_stage is not None and from_stage not in names:
            raise Invalid(f"no stage {from_stage}; stages are {', '.join(names)}")
        for task, columns in transitions.reset_for_retry(run, stages, from_stage).items():
            await tasks.update_task(conn, task, columns)
        run_columns = {
            "status": "queued",
            "reason": None,
            "attempt": run.attempt + 1,
            "started_at": None,
            "finished_at": None,
            "deadline": now + run.plan["timeout"],
        }
        run = await run_rows.update_run(conn, run, {**run_columns, "created_at": run.created_at})
        await callbacks.update_callback(conn, run.id, {"open": True})
        transition = await apply.apply_transition(deps, conn, run, None, {}, now)
    _notify_changes(deps, run_id, transition)


async def _reopen_chain(conn: Connection, app: str, run_id: str) -> None:
    """The chain goes on when its last run does. Locked before that one: chains are locked from the front."""
    run = await run_rows.get(conn, app, run_id)
    if run is None or run.chain is None or run.is_chain_head:
        return
    if run.position is None:
        raise Conflict(f"a later attempt of {run.chain} has taken the place of this run; retry that one")
    first = await require_run(conn, app, run.chain)
    if first.is_final and first.status != "succeeded":
        await run_rows.update_run(conn, first, {"status": "running", "reason": None, "finished_at": None})
        await callbacks.update_callback(conn, first.id, {"open": True})


async def require_run(conn: Connection, app: str, run_id: str, *, lock: bool = True) -> Run:
    """Raises NotFound, Gone."""
    run = await run_rows.get(conn, app, run_id, lock=lock)
    if run is None:
        raise await not_found_error(conn, app, run_id)
    return run


async def not_found_error(conn: Connection, app: str, run_id: str) -> MeshError:
    if await tombstones.has_tombstone(conn, app, run_id):
        return Gone(f"the run {run_id} was removed")
    return NotFound(f"no run {run_id}")


def _notify_changes(deps: Dependencies, run_id: str, transition: apply.AppliedTransition) -> None:
    deps.triggers.dispatch_relay()
    deps.triggers.chains()
    apply.notify_waiters(deps, run_id, transition)
