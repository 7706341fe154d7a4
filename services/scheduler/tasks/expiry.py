"""Expiry: ends leases that were not renewed, and releases tasks whose back-off is over."""

from __future__ import annotations

from libs.common import log
from libs.common.db import Database, database_time
from libs.common.periodic_task import for_each
from services.scheduler.db import tasks
from services.scheduler.model.task import Task
from services.scheduler.tasks import transitions
from services.scheduler.tasks.transition_applier import AppliedTransition, TransitionApplier, lock_task


async def expire_leases(db: Database, applier: TransitionApplier) -> None:
    """Take tasks back from workers that sent no heartbeat for a whole lease."""
    async with db.read() as conn:
        expired = await tasks.list_expired(conn, await database_time(conn))
    await for_each((task.id for task in expired), lambda task: _expire_lease(db, applier, task))


async def _expire_lease(db: Database, applier: TransitionApplier, task_id: str) -> None:
    async with db.write() as conn:
        run, task, now = await lock_task(conn, task_id)
        if task is None or task.state != "claimed" or (task.lease_until or 0) >= now:
            return
        columns = transitions.task_after_expiry(task, now)
        await tasks.end_attempt(conn, task, "lost", columns.get("reason"), None, now)
        applied = AppliedTransition()
        if run is None:
            await tasks.update_task(conn, task.id, columns)
        else:
            applied = await applier.apply_transition(conn, run, task, columns, now)
    log.get("scheduler").warning("Lease expired", task=task.id, app=task.app, worker=task.worker, token=task.token)
    applier.publish_changes(task, run, applied)


async def release_backoffs(db: Database, applier: TransitionApplier) -> None:
    """Make tasks ready whose back-off is over."""
    async with db.read() as conn:
        due_tasks = await tasks.list_backoff_over(conn, await database_time(conn))
    await for_each(due_tasks, lambda task: _release_backoff(db, applier, task), lambda task: task.id)


async def _release_backoff(db: Database, applier: TransitionApplier, task: Task) -> None:
    async with db.write() as conn:
        current = await tasks.get(conn, task.id)
        if current is None or current.state != "waiting":
            return
        state = "waiting" if current.model is not None else "ready"
        await tasks.update_task(conn, task.id, {"state": state, "not_before": None})
    applier.publish_changes(task, None, AppliedTransition())
