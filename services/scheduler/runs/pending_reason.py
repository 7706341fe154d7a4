"""Pending reasons: why a ready stage has not started, from a snapshot of the queue and the workers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.scheduler.model.eligible_workers import Engines, explain_no_worker
from services.scheduler.model.reason import Reason, reason
from services.scheduler.model.task import QueueEntry, Task
from services.scheduler.model.worker import Worker


@dataclass(frozen=True)
class QueueSnapshot:
    ready: Sequence[QueueEntry] = ()
    """Ready stages, best first."""
    workers: Sequence[Worker] = ()
    """Alive workers."""
    engines: Engines = field(default_factory=dict)

    def pending_reason(self, task: Task) -> Reason:
        """Why no worker has claimed this task yet."""
        if self is NO_SNAPSHOT:
            return reason("starting")
        if obstacle := explain_no_worker(task, self.workers, self.engines):
            return obstacle
        if task.reason and task.reason.code in ("lost", "returned"):
            return task.reason
        if runs_ahead := self._runs_ahead(task):
            return reason("runs_ahead", str(runs_ahead))
        return reason("workers_busy", f"waits for a free slot of class {task.resource_class}")

    def _runs_ahead(self, task: Task) -> int:
        earlier_runs: set[str] = set()
        for run, resource_class in self.ready:
            if run == task.run:
                break
            if resource_class == task.resource_class:
                earlier_runs.add(run)
        return len(earlier_runs)


NO_SNAPSHOT = QueueSnapshot()
