"""Warm instances: replaced by a newer deployment, they run on for a while, so that a rollback starts nothing. Pure.

They are ordered to stop, but later. A rollback to their deployment takes the order back. A rollout that does not want
them, or the drain of their worker, makes it due.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from services.scheduler.components.desired_instances import DesiredInstance, get_task_key
from services.scheduler.model.task import Task
from services.scheduler.model.worker import Worker

STOP_MARGIN_S = 2.0
"""An instance whose stop is due so soon is not used again: its worker may get the order at any moment."""


def is_warm(task: Task, now: float) -> bool:
    return task.is_healthy and task.stop_requested and task.stop_at is not None and task.stop_at - now > STOP_MARGIN_S


def may_stay_warm(task: Task, replaced: Iterable[DesiredInstance]) -> bool:
    """Whether it belongs to the deployment that is replaced, and holds memory only: a GPU is needed at once."""
    keys = {instance.key for instance in replaced}
    return task.is_healthy and task.resource_class != "gpu" and get_task_key(task) in keys


def select_reusable(instances: Iterable[DesiredInstance], tasks: Sequence[Task], now: float) -> list[Task]:
    """The warm instances that are desired, and that no other task is there for."""
    running = {get_task_key(task) for task in tasks if task.is_open and not task.stop_requested}
    missing = {instance.key for instance in instances} - running
    reusable = {get_task_key(task): task for task in tasks if is_warm(task, now) and get_task_key(task) in missing}
    return list(reusable.values())


def select_unneeded(
    tasks: Iterable[Task], workers: Iterable[Worker], now: float, *, rollout: Collection[DesiredInstance] | None
) -> list[Task]:
    """The warm instances that stop now: a `rollout` starts others instead, or their worker drains."""
    draining = {worker.name for worker in workers if worker.draining}
    rollout_keys = None if rollout is None else {instance.key for instance in rollout}
    return [
        task
        for task in tasks
        if is_warm(task, now)
        and (task.worker in draining or (rollout_keys is not None and get_task_key(task) not in rollout_keys))
    ]
