"""State transitions of a task. Pure: functions take rows and return changed columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.scheduler.model.reason import Reason, ReasonCode, reason
from services.scheduler.model.run import Run
from services.scheduler.model.task import Task, TaskResult

MAX_LOST_WORKERS = 5
"""After this many lost workers a stage or build fails: it is likely what kills them."""
COUNTED_KINDS = ("stage", "build")
INSTANCE_BACK_OFF_S = 1.0
MAX_BACK_OFF_S = 60.0
WAIT_REASONS: frozenset[ReasonCode] = frozenset({"model_missing", "secrets"})
"""Reasons for which an instance waits instead of counting a failure."""

ColumnUpdates = dict[str, Any]
UNCLAIMED: Mapping[str, Any] = {
    "worker": None,
    "lease_until": None,
    "dispatched_at": None,
    "phase": None,
    "progress": None,
    "detail": None,
}
"""Columns of a task that is not claimed any more."""


@dataclass(frozen=True)
class AttemptResult:
    """What a worker reports at the end of an attempt."""

    outcome: str
    reason: Reason | None = None
    outputs: Mapping[str, Any] | None = None
    log_tail: tuple[str, ...] = ()
    usage: Mapping[str, Any] | None = None
    answer: Mapping[str, Any] | None = None
    progress: tuple[float, float] | None = None
    image: str | None = None
    engine: str | None = None

    def cause(self, default: ReasonCode) -> Reason:
        """The reported reason; with the code `default` when it has none."""
        reported = self.reason or Reason(default)
        return reported if reported.code else replace(reported, code=default)


def stage_after_report(run: Run, task: Task, attempt: AttemptResult, now: float) -> ColumnUpdates:
    """Changed columns of a stage after its worker's report."""
    ended: ColumnUpdates = {
        "finished_at": now,
        "lease_until": None,
        "stop_requested": False,
        "log_tail": list(attempt.log_tail),
    }
    if attempt.progress is not None:
        ended["progress"] = list(attempt.progress)
    result = TaskResult(outputs=attempt.outputs or {}, usage=attempt.usage or {}, answer=attempt.answer)
    if attempt.outcome == "succeeded":
        display = {"phase": "publishing", "detail": publishing_detail(run, task)}
        return {**ended, **display, "state": "publishing", "reason": None, "result": result, "finished_at": None}
    if attempt.outcome == "returned" and not task.stop_requested:
        return {**UNCLAIMED, "state": "ready", "reason": reason("returned", "its worker stopped")}
    if attempt.outcome == "lost" and not task.stop_requested:
        return task_after_loss(task, attempt.cause("lost"), now)
    if attempt.outcome in ("canceled", "returned", "lost"):
        return {**ended, "state": "canceled", "reason": task.reason or reason("canceled"), "result": result}
    cause = attempt.cause("error")
    if (retry := _retry_columns(run, task, cause, now)) and run.status != "canceling":
        return {**retry, "log_tail": list(attempt.log_tail)}
    return {**ended, "state": "failed", "reason": cause, "result": result}


def publishing_detail(run: Run, task: Task) -> str:
    """The detail that the API shows while outputs are published."""
    targets = {name: run.plan.targets.get(name) for name in run.get_stage(task).outputs}
    return ", ".join(f"publishing {name} to {target.box}/{target.group}/" for name, target in targets.items() if target)


def _retry_columns(run: Run, task: Task, cause: Reason, now: float) -> ColumnUpdates | None:
    retries = run.get_stage(task).retries
    if task.failures >= retries.limit or cause.code not in retries.reasons:
        return None
    delay = retries.backoff * retries.factor**task.failures
    return {
        **UNCLAIMED,
        "state": "waiting",
        "failures": task.failures + 1,
        "not_before": now + delay,
        "reason": cause.with_details(retry_in=delay),
    }


def instance_after_report(task: Task, attempt: AttemptResult, now: float) -> ColumnUpdates:
    """Changed columns of an instance after its worker's report: it restarts after a back-off unless it was stopped."""
    base = {**UNCLAIMED, "endpoint": None, "log_tail": list(attempt.log_tail)}
    if task.stop_requested or attempt.outcome == "stopped":
        return {**base, "state": "stopped", "stop_requested": False, "finished_at": now}
    if attempt.outcome == "returned":
        return {**base, "state": "ready", "reason": reason("returned", "its worker stopped"), "log_tail": task.log_tail}
    cause = attempt.cause("exited")
    if cause.code in WAIT_REASONS:
        return {**base, "state": "waiting", "reason": cause, "not_before": now + INSTANCE_BACK_OFF_S}
    delay = min(MAX_BACK_OFF_S, INSTANCE_BACK_OFF_S * 2.0**task.failures)
    return {**base, "state": "waiting", "reason": cause, "failures": task.failures + 1, "not_before": now + delay}


def task_after_expiry(task: Task, now: float) -> ColumnUpdates:
    """Changed columns of a task whose lease has expired. The fencing token rejects a late report."""
    cause = reason("lost", f"worker {task.worker} sent no heartbeat for a whole lease")
    if task.stop_requested:
        return {
            **UNCLAIMED,
            "state": "canceled" if task.kind == "stage" else "stopped",
            "stop_requested": False,
            "finished_at": now,
        }
    return task_after_loss(task, cause, now)


def task_after_loss(task: Task, cause: Reason, now: float) -> ColumnUpdates:
    """A lost worker is not the task's fault: it is ready again at once, at most `MAX_LOST_WORKERS` times."""
    if task.kind in COUNTED_KINDS and task.lost_count + 1 >= MAX_LOST_WORKERS:
        return {
            "state": "failed",
            "reason": cause,
            "lease_until": None,
            "lost_count": task.lost_count + 1,
            "finished_at": now,
        }
    return {**UNCLAIMED, "state": "ready", "reason": cause, "lost_count": task.lost_count + 1}
