"""Eligible workers: which workers may claim a task that is ready, and why none may. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.scheduler.model.reason import Reason, reason
from services.scheduler.model.task import Task
from services.scheduler.model.worker import Worker

Engines = Mapping[str, frozenset[str]]
"""The engines that have a built image, by its id; images that were not built are left out."""


def is_image_lost(task: Task, alive: Sequence[Worker], engines: Engines) -> bool:
    """Whether no engine that has the task's built image has a worker."""
    return not any(_may_have_image(worker, task, engines) for worker in alive) and (task.image or "") in engines


def _may_have_image(worker: Worker, task: Task, engines: Engines) -> bool:
    having = engines.get(task.image or "")
    return having is None or worker.engine in having


def explain_no_worker(task: Task, alive: Sequence[Worker], engines: Engines) -> Reason | None:
    """Why none of these workers claims the task, however long it waits; None when one may."""
    of_class = [worker for worker in alive if task.resource_class in worker.classes]
    if not of_class:
        return reason("no_worker_for", task.resource_class)
    eligible = [worker for worker in of_class if _may_have_image(worker, task, engines)]
    if not eligible:
        return reason("no_worker_for", "its image, which only the engine that built it has")
    if all(worker.draining for worker in eligible):
        kind = f"of class {task.resource_class}" if len(eligible) == len(of_class) else "that has its image"
        return reason("paused", f"every worker {kind} is draining")
    return None
