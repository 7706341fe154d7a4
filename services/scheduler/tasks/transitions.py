"""What happens next to a task and to its run. Pure: rows in, changed columns out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.scheduler.model.state import ENDED_BADLY, HELD, Reason, Run, Task, TaskState, reason

MAX_LOST = 5
"""How many workers may vanish with one task before the task is taken to be what kills them."""
INSTANCE_BACK_OFF_S = 1.0
MAX_BACK_OFF_S = 60.0
HELD_BACK = frozenset({"model_missing", "secrets"})
"""Reasons of an instance that mean "not yet", not "broken"."""

Columns = dict[str, Any]
RELEASED: Mapping[str, Any] = {
    "worker": None,
    "lease_until": None,
    "rung_at": None,
    "phase": None,
    "progress": None,
    "detail": None,
}
"""Columns of a task that nobody holds any more."""


@dataclass(frozen=True)
class Report:
    """What a worker says at the end of its lease."""

    outcome: str
    reason: Reason | None = None
    outputs: Mapping[str, Any] | None = None
    log_tail: tuple[str, ...] = ()
    usage: Mapping[str, Any] | None = None
    answer: Mapping[str, Any] | None = None
    progress: tuple[float, float] | None = None


def stage_reported(run: Run, task: Task, report: Report, now: float) -> Columns:
    """The columns of a stage after its worker's last word."""
    ended: Columns = {"finished_at": now, "lease_until": None, "stop": False, "log_tail": list(report.log_tail)}
    if report.progress is not None:
        ended["progress"] = list(report.progress)
    result = {"outputs": dict(report.outputs or {}), "usage": dict(report.usage or {}), "answer": report.answer}
    if report.outcome == "succeeded":
        told = {"phase": "publishing", "detail": publishing(run, task)}
        return {**ended, **told, "state": "publishing", "reason": None, "result": result, "finished_at": None}
    if report.outcome == "returned" and not task.stop:
        return {**RELEASED, "state": "ready", "reason": reason("returned", "its worker stopped")}
    if report.outcome == "lost" and not task.stop:
        return _lost(task, {**reason("lost"), **(report.reason or {})}, now)
    if report.outcome in ("canceled", "returned", "lost"):
        return {**ended, "state": "canceled", "reason": task.reason or reason("canceled"), "result": result}
    why = {**reason("error"), **(report.reason or {})}
    if (again := _retry(run, task, why, now)) and run.status != "canceling":
        return {**again, "log_tail": list(report.log_tail)}
    return {**ended, "state": "failed", "reason": why, "result": result}


def publishing(run: Run, task: Task) -> str:
    """What is shown of a stage whose outputs are on their way."""
    targets = {name: run.plan["targets"].get(name) for name in run.stage(task)["outputs"]}
    return ", ".join(f"publishing {name} to {at['box']}/{at['group']}/" for name, at in targets.items() if at)


def _retry(run: Run, task: Task, why: Reason, now: float) -> Columns | None:
    retries = run.stage(task)["retries"]
    if task.failures >= retries["limit"] or why["code"] not in retries["reasons"]:
        return None
    pause = retries["backoff"] * retries["factor"] ** task.failures
    return {
        **RELEASED,
        "state": "waiting",
        "failures": task.failures + 1,
        "not_before": now + pause,
        "reason": {**why, "retry_in": pause},
    }


def instance_reported(task: Task, report: Report, now: float) -> Columns:
    """The columns of an instance after its worker's last word: it comes back after a pause unless it is not wanted."""
    base = {**RELEASED, "endpoint": None, "log_tail": list(report.log_tail)}
    if task.stop or report.outcome == "stopped":
        return {**base, "state": "stopped", "stop": False, "finished_at": now}
    if report.outcome == "returned":
        return {**base, "state": "ready", "reason": reason("returned", "its worker stopped"), "log_tail": task.log_tail}
    why = {**reason("exited"), **(report.reason or {})}
    if why["code"] in HELD_BACK:
        return {**base, "state": "waiting", "reason": why, "not_before": now + INSTANCE_BACK_OFF_S}
    pause = min(MAX_BACK_OFF_S, INSTANCE_BACK_OFF_S * 2.0**task.failures)
    return {**base, "state": "waiting", "reason": why, "failures": task.failures + 1, "not_before": now + pause}


def lease_ended(task: Task, now: float) -> Columns:
    """The columns of a task whose worker was silent for a whole lease. A late report is refused by the token."""
    why = reason("lost", f"worker {task.worker} has not been heard of for a whole lease")
    if task.stop:
        return {
            **RELEASED,
            "state": "stopped" if task.kind == "instance" else "canceled",
            "stop": False,
            "finished_at": now,
        }
    return _lost(task, why, now)


def _lost(task: Task, why: Reason, now: float) -> Columns:
    """Not the task's fault: it begins again at once, unless it is what its hosts cannot bear."""
    if task.kind == "stage" and task.lost + 1 >= MAX_LOST:
        return {"state": "failed", "reason": why, "lease_until": None, "lost": task.lost + 1, "finished_at": now}
    return {**RELEASED, "state": "ready", "reason": why, "lost": task.lost + 1}


@dataclass(frozen=True)
class Step:
    """Changed columns of a run and of its tasks."""

    run: Columns
    tasks: Mapping[str, Columns]


def near(run: Run, task: Task) -> frozenset[str]:
    """The stages that may start once this one has succeeded, and all that they wait for."""
    if task.state != "succeeded":
        return frozenset()
    after = {name: waits for name, waits in run.plan["waits"].items() if task.name in waits}
    return frozenset(after).union(*after.values())


def advance(run: Run, tasks: Iterable[Task], now: float, others: frozenset[TaskState] = frozenset()) -> Step:
    """Start what can start, skip what never will, end the run when nothing is open.

    `others`: the states of the stages that are not among `tasks`, and that nothing changes.
    """
    stages = {task.name: task for task in tasks}
    changes: dict[str, Columns] = {}
    halted = run.status == "canceling" or any(task.state in ENDED_BADLY for task in stages.values())
    for task in stages.values():
        if halted and task.open and not task.stop:
            changes[task.id] = _halt(task, run, now)
        elif not halted and task.state == "waiting" and task.not_before is None and _inputs_ready(run, task, stages):
            changes[task.id] = {"state": "ready", "reason": None}
    after = {task.name: changes.get(task.id, {}).get("state", task.state) for task in stages.values()}
    return Step(_ending(run, stages, after, others, now), changes)


def _halt(task: Task, run: Run, now: float) -> Columns:
    if task.state == "publishing":  # of a run that fails, what was made is still published
        return {"stop": True, "reason": run.reason} if run.status == "canceling" else {}
    if task.state == "claimed":
        return {"stop": True, "reason": run.reason or reason("canceled", "another stage failed")}
    gone = "canceled" if run.status == "canceling" else "skipped"
    return {**RELEASED, "state": gone, "reason": None if gone == "skipped" else run.reason, "finished_at": now}


def _inputs_ready(run: Run, task: Task, stages: Mapping[str, Task]) -> bool:
    return all(name in stages and stages[name].state == "succeeded" for name in run.plan["waits"][task.name])


def _ending(
    run: Run, stages: Mapping[str, Task], after: Mapping[str, str], others: frozenset[TaskState], now: float
) -> Columns:
    states = {*after.values(), *others}
    if states & {"waiting", "ready", "claimed", "publishing"}:
        return {}
    if states == {"succeeded"}:
        return {} if run.leads else {"status": "succeeded", "reason": None, "finished_at": now}
    failed = next((task for task in stages.values() if after[task.name] == "failed"), None)
    if failed is not None and failed.reason is not None:
        why = {**failed.reason, "stage": failed.name, "log_tail": failed.log_tail or []}
        return {"status": "failed", "reason": why, "finished_at": now}
    return halted(run, now)


def halted(run: Run, now: float) -> Columns:
    """How a run ends that was told to."""
    if run.reason and run.reason["code"] == "timeout":
        return {"status": "failed", "finished_at": now}
    if run.reason and run.reason["code"] == "expired":
        return {"status": "expired", "finished_at": now}
    return {"status": "canceled", "reason": reason("canceled", "a caller canceled it"), "finished_at": now}


def overdue(run: Run) -> Reason:
    """Why this run must end, once its deadline is over."""
    limit = run.plan["timeout"]
    if run.started_at is None:
        return reason("expired", f"not started within {limit:g} s")
    return reason("timeout", f"not finished within {limit:g} s")


def retried(run: Run, tasks: Iterable[Task], from_stage: str | None) -> Mapping[str, Columns]:
    """The columns of the tasks to run again: all, or `from_stage`, what depends on it, and what did not succeed."""
    stages = {task.name: task for task in tasks}
    again = set(stages)
    if from_stage is not None:
        again = {name for name in stages if stages[name].state != "succeeded"} | _downstream(run, from_stage)
    fresh = {**RELEASED, "state": "waiting", "reason": None, "failures": 0, "lost": 0, "not_before": None,
             "stop": False, "result": None, "log_tail": None, "started_at": None, "finished_at": None}  # fmt: skip
    return {stages[name].id: fresh for name in again}


def _downstream(run: Run, stage: str) -> set[str]:
    found = {stage}
    while more := {name for name, waits in run.plan["waits"].items() if found & set(waits)} - found:
        found |= more
    return found


def held(tasks: Iterable[Task]) -> bool:
    return any(task.state in HELD for task in tasks)
