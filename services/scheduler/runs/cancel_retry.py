"""Commands on runs that exist: cancel and retry. A change is committed before the response."""

from __future__ import annotations

from contextlib import suppress

from libs.common.db import Database, database_time
from libs.common.errors import Conflict, Invalid
from services.scheduler.db import Connection, callbacks, tasks
from services.scheduler.db import runs as run_rows
from services.scheduler.runs.queries import require_run
from services.scheduler.tasks import run_transitions
from services.scheduler.tasks.transition_applier import TransitionApplier


async def cancel_run(db: Database, applier: TransitionApplier, app: str, run_id: str) -> None:
    """Cancel a run; idempotent. Raises Conflict when it has already ended in another way."""
    async with db.write() as conn:
        now = await database_time(conn)
        run = await require_run(conn, app, run_id)
        if run.status in ("canceling", "canceled"):
            return
        if run.is_final:
            raise Conflict(f"cannot cancel: the run has already {run.status}", code="finished")
        why = run_transitions.caller_cancellation()
        run = await run_rows.update_run(conn, run, {"status": "canceling", "reason": why})
        transition = await applier.apply_transition(conn, run, None, {}, now)
    applier.notify_run_change(run_id, transition)


async def cancel_if_open(db: Database, applier: TransitionApplier, app: str, run_id: str) -> None:
    """Cancel a run unless it has ended."""
    with suppress(Conflict):
        await cancel_run(db, applier, app, run_id)


async def retry_run(db: Database, applier: TransitionApplier, app: str, run_id: str, from_stage: str | None) -> None:
    """Run it again, from the start or from a stage; its successors follow, and its chain reopens.

    Raises Conflict unless it failed, was canceled or expired.
    """
    async with db.write() as conn:
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
        for task, columns in run_transitions.reset_for_retry(run, stages, from_stage).items():
            await tasks.update_task(conn, task, columns)
        run_columns = {
            "status": "queued",
            "reason": None,
            "attempt": run.attempt + 1,
            "started_at": None,
            "finished_at": None,
            "deadline": now + run.plan.timeout,
        }
        run = await run_rows.update_run(conn, run, {**run_columns, "created_at": run.created_at})
        await callbacks.reopen_callback(conn, run.id)
        transition = await applier.apply_transition(conn, run, None, {}, now)
    applier.notify_run_change(run_id, transition)


async def _reopen_chain(conn: Connection, app: str, run_id: str) -> None:
    """Reopen the chain of a retried run. Lock order: the first run of a chain before its successors."""
    run = await run_rows.get(conn, app, run_id)
    if run is None or run.chain is None or run.is_chain_head:
        return
    if run.position is None:
        raise Conflict(f"a later attempt of {run.chain} replaced this run; retry that one")
    first = await require_run(conn, app, run.chain)
    if first.is_final and first.status != "succeeded":
        await run_rows.update_run(conn, first, {"status": "running", "reason": None, "finished_at": None})
        await callbacks.reopen_callback(conn, first.id)
