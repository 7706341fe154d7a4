"""State transitions of tasks of kind `image` and `build`. Pure."""

from __future__ import annotations

from services.scheduler.model.reason import reason
from services.scheduler.model.task import Task, TaskResult
from services.scheduler.tasks.transitions import UNCLAIMED, AttemptResult, ColumnUpdates, task_after_loss


def image_after_report(task: Task, attempt: AttemptResult, now: float) -> ColumnUpdates:
    """Changed columns after the report of a worker, which has tried more than once before it reports a failure."""
    ended: ColumnUpdates = {
        **UNCLAIMED, "stop_requested": False, "finished_at": now, "log_tail": list(attempt.log_tail),
    }  # fmt: skip
    if attempt.outcome == "succeeded" and attempt.image:
        return {**ended, "state": "succeeded", "reason": None, "result": TaskResult(image=attempt.image)}
    if task.stop_requested or attempt.outcome == "stopped":
        return {**ended, "state": "stopped"}
    if attempt.outcome == "returned":
        return {**UNCLAIMED, "state": "ready", "reason": reason("returned", "its worker stopped")}
    if attempt.outcome == "lost":
        return task_after_loss(task, attempt.cause("lost"), now)
    return {**ended, "state": "failed", "reason": attempt.cause("image")}
