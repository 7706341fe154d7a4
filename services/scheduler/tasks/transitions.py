"""State transitions of tasks and runs. Pure: functions take rows and return changed columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.scheduler.model.reason import Reason, ReasonCode, reason
from services.scheduler.model.run import Run
from services.scheduler.model.task import FAILED_STATES, Task, TaskResult, TaskState

MAX_LOST_WORKERS = 5
"""After this many lost workers a stage fails: it is likely what kills them."""
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
        return _task_after_loss(task, attempt.cause("lost"), now)
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
            "state": "stopped" if task.kind == "instance" else "canceled",
            "stop_requested": False,
            "finished_at": now,
        }
    return _task_after_loss(task, cause, now)


def _task_after_loss(task: Task, cause: Reason, now: float) -> ColumnUpdates:
    """A lost worker is not the task's fault: it is ready again at once, at most `MAX_LOST_WORKERS` times."""
    if task.kind == "stage" and task.lost_count + 1 >= MAX_LOST_WORKERS:
        return {
            "state": "failed",
            "reason": cause,
            "lease_until": None,
            "lost_count": task.lost_count + 1,
            "finished_at": now,
        }
    return {**UNCLAIMED, "state": "ready", "reason": cause, "lost_count": task.lost_count + 1}


@dataclass(frozen=True)
class RunTransition:
    """Changed columns of a run and of its tasks."""

    run: ColumnUpdates
    tasks: Mapping[str, ColumnUpdates]


def find_neighbours(run: Run, task: Task) -> frozenset[str]:
    """The stages that wait for this succeeded one, and all stages that those wait for."""
    if task.state != "succeeded":
        return frozenset()
    dependents = {name: waits for name, waits in run.plan.waits.items() if task.name in waits}
    return frozenset(dependents).union(*dependents.values())


def advance_run(
    run: Run, tasks: Iterable[Task], now: float, other_states: frozenset[TaskState] = frozenset()
) -> RunTransition:
    """Make stages ready whose inputs are, halt open ones of a failed run, end the run when no stage is open.

    `other_states`: the states of the stages that are not in `tasks`, which stay as they are.
    """
    stages = {task.name: task for task in tasks}
    changes: dict[str, ColumnUpdates] = {}
    is_halted = run.status == "canceling" or any(task.state in FAILED_STATES for task in stages.values())
    for task in stages.values():
        if is_halted and task.is_open and not task.stop_requested:
            changes[task.id] = _halt_task(task, run, now)
        elif not is_halted and _can_start(run, task, stages):
            changes[task.id] = {"state": "ready", "reason": None}
    new_states = {task.name: changes.get(task.id, {}).get("state", task.state) for task in stages.values()}
    return RunTransition(_end_run(run, stages, new_states, other_states, now), changes)


def _halt_task(task: Task, run: Run, now: float) -> ColumnUpdates:
    if task.state == "publishing":  # a failed run still publishes the outputs of succeeded stages
        return {"stop_requested": True, "reason": run.reason} if run.status == "canceling" else {}
    if task.state == "claimed":
        return {"stop_requested": True, "reason": run.reason or reason("canceled", "another stage failed")}
    state = "canceled" if run.status == "canceling" else "skipped"
    return {**UNCLAIMED, "state": state, "reason": None if state == "skipped" else run.reason, "finished_at": now}


def _can_start(run: Run, task: Task, stages: Mapping[str, Task]) -> bool:
    return task.state == "waiting" and task.not_before is None and _are_inputs_ready(run, task, stages)


def _are_inputs_ready(run: Run, task: Task, stages: Mapping[str, Task]) -> bool:
    return all(name in stages and stages[name].state == "succeeded" for name in run.plan.waits[task.name])


def _end_run(
    run: Run, stages: Mapping[str, Task], new_states: Mapping[str, str], other_states: frozenset[TaskState], now: float
) -> ColumnUpdates:
    states = {*new_states.values(), *other_states}
    if states & {"waiting", "ready", "claimed", "publishing"}:
        return {}
    if states == {"succeeded"}:
        return {} if run.is_chain_head else {"status": "succeeded", "reason": None, "finished_at": now}
    failed = next((task for task in stages.values() if new_states[task.name] == "failed"), None)
    if failed is not None and failed.reason is not None:
        cause = failed.reason.with_details(stage=failed.name, log_tail=failed.log_tail or [])
        return {"status": "failed", "reason": cause, "finished_at": now}
    return canceled_run(run, now)


def canceled_run(run: Run, now: float) -> ColumnUpdates:
    """The final columns of a run that was canceled by a caller or by its deadline."""
    if run.reason and run.reason.code == "timeout":
        return {"status": "failed", "finished_at": now}
    if run.reason and run.reason.code == "expired":
        return {"status": "expired", "finished_at": now}
    return {"status": "canceled", "reason": caller_cancellation(), "finished_at": now}


def caller_cancellation() -> Reason:
    """The reason of a run that a caller canceled."""
    return reason("canceled", "a caller canceled it")


def deadline_reason(run: Run) -> Reason:
    """The reason of a run that has passed its deadline."""
    limit = run.plan.timeout
    if run.started_at is None:
        return reason("expired", f"not started within {limit:g} s")
    return reason("timeout", f"not finished within {limit:g} s")


def reset_for_retry(run: Run, tasks: Iterable[Task], from_stage: str | None) -> Mapping[str, ColumnUpdates]:
    """Changed columns of the tasks to run again: all, or `from_stage`, its dependents and all that did not succeed."""
    stages = {task.name: task for task in tasks}
    names = set(stages)
    if from_stage is not None:
        names = {name for name in stages if stages[name].state != "succeeded"} | _downstream_stages(run, from_stage)
    reset = {
        **UNCLAIMED,
        "state": "waiting",
        "reason": None,
        "failures": 0,
        "lost_count": 0,
        "not_before": None,
        "stop_requested": False,
        "result": None,
        "log_tail": None,
        "started_at": None,
        "finished_at": None,
    }
    return {stages[name].id: reset for name in names}


def _downstream_stages(run: Run, stage: str) -> set[str]:
    names = {stage}
    while added := {name for name, waits in run.plan.waits.items() if names & set(waits)} - names:
        names |= added
    return names
