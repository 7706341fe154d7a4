"""State transitions of a run and of its stages together. Pure: functions take rows and return changed columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.scheduler.model.reason import Reason, reason
from services.scheduler.model.run import Run
from services.scheduler.model.task import FAILED_STATES, Task, TaskState
from services.scheduler.tasks.transitions import UNCLAIMED, ColumnUpdates


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
