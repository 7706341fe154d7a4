"""Applies a transition: writes a task's new columns, what follows for its run, and notifies after the commit.

Lock order everywhere: the run, then tasks by id. A change of a stage's state holds the row lock of its run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from libs.common import log
from services.scheduler import long_poll_notifier
from services.scheduler.db import Connection, runs, tasks
from services.scheduler.long_poll_notifier import LongPollNotifier
from services.scheduler.loop_triggers import LoopTriggers
from services.scheduler.model.run import Run
from services.scheduler.model.task import FAILED_STATES, ReadyTask, Task, TaskState
from services.scheduler.plans import planner
from services.scheduler.tasks import run_transitions
from services.scheduler.tasks.ready_publisher import ReadyPublisher


@dataclass(frozen=True)
class AppliedTransition:
    """What a transition has changed, for the notifications after the commit."""

    dispatched: tuple[ReadyTask, ...] = ()
    """Tasks that became ready and are to be published."""
    workers_to_stop: frozenset[str] = frozenset()
    """Workers that have a task to stop."""
    has_publications: bool = False
    """Whether the output publisher has to start or cancel a publication."""
    ended_run: Run | None = None
    """The run, if it has ended."""


async def lock_task(conn: Connection, task_id: str) -> tuple[Run | None, Task | None, float]:
    """Lock the run and then the task; also returns the time in epoch seconds (0 when there is no such task)."""
    app_and_run = await tasks.get_app_and_run(conn, task_id)
    if app_and_run is None:
        return None, None, 0.0
    app, run_id = app_and_run
    run = await runs.lock_and_bump(conn, app, run_id) if run_id else None
    return run, *await tasks.get_with_time(conn, task_id)


@dataclass(frozen=True)
class TransitionApplier:
    """Writes transitions inside the caller's transaction, and wakes waiters, workers and loops after its commit."""

    publisher: ReadyPublisher
    notifier: LongPollNotifier
    triggers: LoopTriggers
    app_limit: int | None
    """How many stages of one app may run at a time."""
    log_runs: bool

    async def apply_transition(
        self, conn: Connection, run: Run, task: Task | None, columns: Mapping[str, Any], now: float
    ) -> AppliedTransition:
        """Write a task's new columns and what follows for its run and other stages. The run must be locked."""
        changes: dict[str, Mapping[str, Any]] = {}
        if task is not None:
            if columns.get("state") == "publishing" and not planner.publication_moves(run, replace(task, **columns)):
                columns = {**columns, "state": "succeeded", "finished_at": now}
            changes[task.id] = columns
            task = replace(task, **columns)
        stages, other_states = await _affected_stages(conn, run, task)
        step = run_transitions.advance_run(run, stages, now, other_states)
        for stage_id, update in step.tasks.items():
            changes[stage_id] = {**changes.get(stage_id, {}), **update}
        stages_by_id = {stage.id: stage for stage in stages}
        dispatched = self.publisher.reserve(
            stages_by_id[stage_id].ready_task for stage_id in changes if changes[stage_id].get("state") == "ready"
        )
        for ready_task in dispatched:
            changes[ready_task.task] = {**changes[ready_task.task], "dispatched_at": now}
        for task_id in sorted(changes):
            await tasks.update_task(conn, task_id, changes[task_id])
        if step.tasks and not step.run:  # the halted stages may have been the last open ones
            final_stages = [replace(stage, **step.tasks.get(stage.id, {})) for stage in stages]
            final_step = run_transitions.advance_run(run, final_stages, now, other_states)
            step = run_transitions.RunTransition(final_step.run, {})
        updated_run = await runs.update_run(conn, run, step.run) if step.run else run
        stopped = (
            stages_by_id[stage_id].worker for stage_id, update in step.tasks.items() if update.get("stop_requested")
        )
        return AppliedTransition(
            dispatched,
            frozenset(worker for worker in stopped if worker),
            has_publications=any(columns.get("state") == "publishing" for columns in changes.values())
            or any(stages_by_id[stage_id].state == "publishing" for stage_id in step.tasks),
            ended_run=updated_run if "finished_at" in step.run else None,
        )

    def publish_changes(self, task: Task, run: Run | None, applied: AppliedTransition) -> None:
        """Wake the loops and waiters that a changed task concerns. For an instance: the relay and the reconciler."""
        if run is None or self.app_limit is not None:  # with a limit, its end may admit another
            self.triggers.ready_relay.wake()
        if run is None:
            self.triggers.reconcile(task.app)
            return
        if run.chain:
            self.triggers.timers.wake()
        self.notify_waiters(run.id, applied)

    def notify_waiters(self, run: str, applied: AppliedTransition) -> None:
        """Notify requests that wait for the run, the callbacks, the publisher and workers with a task to stop."""
        self.publisher.publish_soon(applied.dispatched)
        self.triggers.callbacks.wake()
        if applied.has_publications:
            self.triggers.output_publisher.wake()
        self.notifier.notify(long_poll_notifier.run_changed(run))
        if applied.ended_run is not None:
            self.notifier.notify(long_poll_notifier.run_ended(run))
            self._log_end(applied.ended_run)
        for worker in applied.workers_to_stop:
            self.notifier.notify(long_poll_notifier.worker_orders(worker))

    def notify_run_change(self, run: str, applied: AppliedTransition) -> None:
        """After the commit of a change that a caller or a deadline made to a run."""
        self.triggers.ready_relay.wake()
        self.triggers.timers.wake()
        self.notify_waiters(run, applied)

    def notify_chain(self, run: str, ended_run: Run | None = None) -> None:
        """After the commit of a step of the chain that began with this run, which may be the one that ended it."""
        self.triggers.ready_relay.wake()
        self.triggers.callbacks.wake()
        self.notifier.notify(long_poll_notifier.run_changed(run))
        self.notifier.notify(long_poll_notifier.run_ended(run))
        if ended_run is not None:
            self._log_end(ended_run)

    def _log_end(self, run: Run) -> None:
        if self.log_runs:
            cause = {"reason": run.reason.code} if run.reason else {}
            log.get("scheduler").info(
                "Run ended", app=run.app, pipeline=run.pipeline, run=run.id, status=run.status, **cause
            )

    def notify_heartbeat(
        self, changed_runs: Iterable[str], changed_apps: Iterable[str], *, routes_changed: bool
    ) -> None:
        """After the commit of a heartbeat. `changed_apps`: those whose instances it changed."""
        if routes_changed:
            self.notifier.notify(long_poll_notifier.ROUTE_TABLE)
        for run in changed_runs:
            self.notifier.notify(long_poll_notifier.run_changed(run))
        for app in changed_apps:
            self.triggers.reconcile(app)

    def notify_claimed(self, task: Task, *, has_more: bool) -> None:
        """After the commit of a claim. `has_more`: other tasks are ready."""
        if has_more:
            self.publisher.on_claim()
        if task.run:
            self.triggers.callbacks.wake()
            self.notifier.notify(long_poll_notifier.run_changed(task.run))


async def _affected_stages(conn: Connection, run: Run, changed: Task | None) -> tuple[list[Task], frozenset[TaskState]]:
    """The neighbours of a changed stage, and the distinct states of the others: few rows of a run with many stages."""
    if changed is not None and len(run.plan.stages) == 1:
        return [changed], frozenset()
    if changed is not None and changed.state not in FAILED_STATES and run.status != "canceling":
        neighbours = run_transitions.find_neighbours(run, changed)
        other_states = await tasks.list_other_states(conn, run.id, {changed.name, *neighbours})
        if not other_states & FAILED_STATES:
            names = neighbours - {changed.name}
            return [changed, *(await tasks.list_by_names(conn, run.id, names) if names else [])], other_states
    stages = await tasks.list_by_run(conn, run.id)
    return [changed if changed and changed.id == stage.id else stage for stage in stages], frozenset()
