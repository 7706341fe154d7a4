"""State transitions of tasks of kind `image`. Pure."""

from __future__ import annotations

from services.scheduler.model.reason import reason
from services.scheduler.model.task import Task, TaskResult
from services.scheduler.tasks.transitions import UNCLAIMED, AttemptResult, ColumnUpdates


def image_after_report(task: Task, attempt: AttemptResult, now: float) -> ColumnUpdates:
    """Changed columns after the report of a worker, which has tried more than once before it reports a failure."""
    ended: ColumnUpdates = {**UNCLAIMED, "stop_requested": False, "finished_at": now}
    if attempt.outcome == "succeeded" and attempt.image:
        return {**ended, "state": "succeeded", "reason": None, "result": TaskResult(image=attempt.image)}
    if task.stop_requested or attempt.outcome == "stopped":
        return {**ended, "state": "stopped"}
    if attempt.outcome == "returned":
        return {**UNCLAIMED, "state": "ready", "reason": reason("returned", "its worker stopped")}
    if attempt.outcome == "lost":
        return {**UNCLAIMED, "state": "ready", "reason": attempt.cause("lost"), "lost_count": task.lost_count + 1}
    return {**ended, "state": "failed", "reason": attempt.cause("image")}
