"""Expiry of leases: the scheduler takes tasks back from workers that stopped renewing them."""

from __future__ import annotations

from libs.common import log
from libs.common.db import Database, database_time
from libs.common.periodic_task import for_each
from services.scheduler.db import tasks
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
