"""Why stages that are ready have not begun: the line that they stand in, and the workers in front of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.scheduler.model.reason import Reason, reason
from services.scheduler.model.task import QueueEntry, Task
from services.scheduler.model.worker import Worker


@dataclass(frozen=True)
class Queue:
    line: Sequence[QueueEntry] = ()
    """Ready stages, best first."""
    workers: Sequence[Worker] = ()
    """Those that were heard lately."""

    def why(self, task: Task) -> Reason:
        """Why nobody has taken this task yet."""
        if self is EMPTY:
            return reason("starting")
        kind = task.resource_class
        fit = [worker for worker in self.workers if kind in worker.classes]
        if not fit:
            return reason("no_worker_for", kind)
        if all(worker.draining for worker in fit):
            return reason("paused", f"every worker of class {kind} is draining")
        if task.reason and task.reason["code"] in ("lost", "returned"):
            return task.reason
        if ahead := self._ahead(task):
            return reason("runs_ahead", str(ahead))
        return reason("workers_busy", f"waits for a free slot of class {kind}")

    def _ahead(self, task: Task) -> int:
        before: set[str] = set()
        for run, kind in self.line:
            if run == task.run:
                break
            if kind == task.resource_class:
                before.add(run)
        return len(before)


EMPTY = Queue()
