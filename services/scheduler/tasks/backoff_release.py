"""Release of tasks whose back-off is over: they become ready; an instance with a model waits for the check of it."""

from __future__ import annotations

from libs.common.db import Database, database_time
from libs.common.periodic_task import for_each
from services.scheduler.db import tasks
from services.scheduler.model.task import Task
from services.scheduler.tasks.transition_applier import AppliedTransition, TransitionApplier


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
