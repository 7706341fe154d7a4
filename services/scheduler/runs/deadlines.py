"""Deadlines of runs: those that did not start, or did not finish, in time are canceled."""

from __future__ import annotations

from libs.common.db import Database, database_time
from libs.common.periodic_task import for_each
from services.scheduler.db import runs as run_rows
from services.scheduler.model.run import Run
from services.scheduler.tasks import run_transitions
from services.scheduler.tasks.transition_applier import TransitionApplier


async def cancel_overdue_runs(db: Database, applier: TransitionApplier) -> None:
    """Cancel runs that did not start, or did not finish, before their deadline."""
    async with db.read() as conn:
        overdue = await run_rows.list_overdue(conn, await database_time(conn))
    await for_each(overdue, lambda run: _cancel_overdue(db, applier, run), lambda run: run.id)


async def _cancel_overdue(db: Database, applier: TransitionApplier, overdue_run: Run) -> None:
    async with db.write() as conn:
        now = await database_time(conn)
        run = await run_rows.get(conn, overdue_run.app, overdue_run.id, lock=True)
        if run is None or run.is_final or run.status == "canceling" or run.deadline >= now:
            return
        why = run_transitions.deadline_reason(run)
        run = await run_rows.update_run(conn, run, {"status": "canceling", "reason": why})
        transition = await applier.apply_transition(conn, run, None, {}, now)
    applier.notify_run_change(overdue_run.id, transition)
