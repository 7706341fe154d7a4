"""What the states of its instances mean for a rollout. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from libs.common.protocol.deployment import RolloutProblem
from services.scheduler.model.eligible_workers import Engines, explain_no_worker, is_image_lost
from services.scheduler.model.reason import Reason
from services.scheduler.model.task import Task
from services.scheduler.model.worker import Worker
from services.scheduler.tasks.transitions import WAIT_REASONS

LOG_LINES = 20
Verdict = Literal["failed", "ready", "starting"]


def is_blocked(task: Task) -> bool:
    """Whether the instance waits for something outside the rollout, such as a model that is not trained yet."""
    return task.state == "waiting" and task.reason is not None and task.reason.code in WAIT_REASONS


def has_failed(task: Task) -> bool:
    """Whether the instance exited before it was ever healthy."""
    return task.state == "waiting" and task.failures > 0 and not is_blocked(task)


def rollout_verdict(tasks: Iterable[Task]) -> tuple[Verdict, list[Task]]:
    """`failed` with the failed tasks, `ready` if all are healthy or blocked, else `starting` with the pending ones."""
    tasks = list(tasks)
    if failing := [task for task in tasks if has_failed(task)]:
        return "failed", failing
    pending = [task for task in tasks if not task.is_healthy and not is_blocked(task)]
    return ("starting", pending) if pending else ("ready", [])


def explain_waiting(tasks: Iterable[Task], workers: Sequence[Worker], engines: Engines) -> list[Task]:
    """The tasks, those that no worker may claim with the reason."""
    return [
        replace(task, reason=why)
        if task.state == "ready" and (why := explain_no_worker(task, workers, engines)) is not None
        else task
        for task in tasks
    ]


def select_abandoned(tasks: Iterable[Task], workers: Sequence[Worker], engines: Engines, waited: float) -> list[Task]:
    """Tasks whose built image is on no engine that has a worker, after `waited` seconds, their time to start."""
    return [
        task
        for task in tasks
        if task.state == "ready"
        and task.instance_spec is not None
        and waited >= task.instance_spec.start_timeout
        and is_image_lost(task, workers, engines)
    ]


def abandoned_error(task: Task) -> RolloutProblem:
    message = (
        f"component {task.name} did not start: the engine that built its image has no worker any more; "
        f"deploy again to build it elsewhere: mlmesh app sync {task.app}"
    )
    return RolloutProblem(message=message, component=task.name, reason="no_worker_for")


def status_line(task: Task) -> str:
    """One line for a rollout step: `digits: model_missing weights/digits.joblib`."""
    why = task.reason or Reason(task.state)
    state, detail = (task.phase, task.detail) if task.state == "claimed" else (why.code, why.detail)
    return f"{task.name}: {state or 'starting'} {detail or ''}".rstrip()


def instance_error(task: Task) -> RolloutProblem:
    """The rollout error of an instance that did not start, with its last log lines."""
    why = task.reason or Reason("failed")
    message = f"component {task.name} did not start: {why.code}: {why.detail or 'no detail'}"
    code = None if task.reason is None else task.reason.code
    log_tail = tuple(task.log_tail or ())[-LOG_LINES:]
    return RolloutProblem(message=message, component=task.name, reason=code, log_tail=log_tail)


def instance_warning(task: Task) -> RolloutProblem:
    """The rollout warning of an instance that serves in spite of a problem."""
    message = f"component {task.name}: {task.detail}"
    return RolloutProblem(file=None, line=None, column=None, message=message, component=task.name)
