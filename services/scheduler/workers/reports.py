"""Reports: a worker ends its lease with the result."""

from __future__ import annotations

from libs.common.db import Database
from libs.common.errors import Conflict
from libs.common.protocol.report import TaskReport
from services.scheduler.db import built_images, stage_cache, tasks
from services.scheduler.model.built_image import BuiltImage
from services.scheduler.model.reason import Reason
from services.scheduler.model.task import Task
from services.scheduler.plans import planner
from services.scheduler.tasks import transitions
from services.scheduler.tasks.image_transitions import image_after_report
from services.scheduler.tasks.transition_applier import AppliedTransition, TransitionApplier, lock_task


async def handle_report(db: Database, applier: TransitionApplier, task_id: str, report: TaskReport) -> None:
    """Apply a worker's final report of a task. Raises Conflict when the lease is over: the result is dropped."""
    reason = None if report.reason is None else Reason.from_json(report.reason)
    result = transitions.AttemptResult(
        report.outcome,
        reason,
        report.outputs,
        report.log_tail,
        report.usage,
        report.answer,
        report.progress,
        report.image,
        report.engine,
    )
    async with db.write() as conn:
        run, stored, now = await lock_task(conn, task_id)
        task = require_current_lease(stored, report.worker, report.token)
        await tasks.end_attempt(conn, task, report.outcome, reason, report.usage, now)
        applied = AppliedTransition()
        if run is None:
            is_image = task.kind in ("image", "build")
            after_report = image_after_report if is_image else transitions.instance_after_report
            await tasks.update_task(conn, task.id, after_report(task, result, now))
            if task.kind == "build" and report.outcome == "succeeded" and report.image:
                await built_images.save(conn, task.app, _built_image(task, report.image, report.engine), now)
            elif reason is not None and reason.code == "image" and task.instance_spec is not None:
                await built_images.forget(conn, task.app, task.instance_spec.image or "")
        else:
            applied = await applier.apply_transition(
                conn, run, task, transitions.stage_after_report(run, task, result, now), now
            )
            if report.cache_key and report.outcome == "succeeded":
                await stage_cache.save_entry(conn, task, report.cache_key, report.outputs or {}, now)
    applier.publish_changes(task, run, applied)


def _built_image(task: Task, image: str, engine: str | None) -> BuiltImage:
    return BuiltImage(key=task.fingerprint, image=image, engine=engine or "", log=planner.build_log_name(task))


def require_current_lease(task: Task | None, worker: str, token: int) -> Task:
    """The task as claimed by this worker with this token. Raises Conflict when the lease is over."""
    if task is None or task.state != "claimed" or (task.token, task.worker) != (token, worker):
        raise Conflict("this lease is over; the result is dropped", code="stale_token")
    return task
