"""Leases: a worker claims a task, keeps it by being heard (heartbeat), and gives it back with a report.

Lock order everywhere: the run, then tasks by id. Who changes what a stage is holds its run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from libs.common import log
from libs.common.db import clock
from libs.common.errors import Conflict
from libs.common.http.tolerant_list import Each, Keepable
from libs.common.periodic_task import for_each
from services.scheduler import notifications
from services.scheduler.db import Connection, runs, stage_cache, tasks
from services.scheduler.dependencies import Parts
from services.scheduler.model.state import FAILED_STATES, ReadyTask, Run, Task, TaskState
from services.scheduler.plans import planner
from services.scheduler.tasks import transitions


@dataclass(frozen=True)
class AppliedTransition:
    """What a change of a stage has led to; who is to hear of it after the commit."""

    dispatched: tuple[ReadyTask, ...] = ()
    """What is ready now."""
    workers_to_stop: frozenset[str] = frozenset()
    """Workers that are to stop something."""
    has_publications: bool = False
    """Outputs are to be brought to their places, or not any more."""
    ended_run: Mapping[str, Any] | None = None
    """Which run has ended, and how."""


class WorkerMessage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TaskReport(WorkerMessage):
    worker: str
    token: int
    outcome: str = Field(pattern=r"^[a-z_]{1,16}$")
    reason: Keepable | None = None
    outputs: Keepable | None = None
    log_tail: Each[str] = ()
    usage: Keepable | None = None
    progress: tuple[FiniteFloat, FiniteFloat] | None = None
    """The last that it told, which no heartbeat may have brought."""
    answer: Keepable | None = None
    """What the component said, of a prediction."""
    content: str | None = Field(default=None, max_length=64)
    """What the stage was made of, if its outputs are to be kept for others."""


class ReuseQuery(WorkerMessage):
    """What a stage that is about to run is made of."""

    worker: str
    token: int
    content: str = Field(max_length=64)


async def handle_report(deps: Parts, task_id: str, report: TaskReport) -> None:
    """Take a worker's last word about a task. Raises Conflict when the lease is over: the result is dropped."""
    result = transitions.AttemptResult(
        report.outcome, report.reason, report.outputs, report.log_tail, report.usage, report.answer, report.progress
    )
    async with deps.db.write() as conn:
        run, stored, now = await lock_task(conn, task_id)
        task = require_current_lease(stored, report.worker, report.token)
        await tasks.end_attempt(conn, task, report.outcome, report.reason, report.usage, now)
        applied = AppliedTransition()
        if run is None:
            await tasks.update_task(conn, task.id, transitions.instance_after_report(task, result, now))
        else:
            applied = await apply_transition(
                deps, conn, run, task, transitions.stage_after_report(run, task, result, now), now
            )
            if report.content and report.outcome == "succeeded":
                await stage_cache.save_entry(conn, task, report.content, report.outputs or {}, now)
    publish_changes(deps, task, run, applied)


def require_current_lease(task: Task | None, worker: str, token: int) -> Task:
    """Raises Conflict when the lease is over."""
    if task is None or task.state != "claimed" or (task.token, task.worker) != (token, worker):
        raise Conflict("this lease is over; the result is dropped", code="stale_token")
    return task


async def complete_from_cache(deps: Parts, task_id: str, query: ReuseQuery) -> bool:
    """Let the stage succeed with what an earlier one made of the same. Whether there was one."""
    async with deps.db.write() as conn:
        run, stored, now = await lock_task(conn, task_id)
        task = require_current_lease(stored, query.worker, query.token)
        entry = await stage_cache.find_entry(conn, task.app, query.content)
        if run is None or entry is None:
            return False
        source = {name: entry[name] for name in ("run", "user", "stage", "token")}
        await stage_cache.add_use(conn, entry["run"], run.id)
        await tasks.end_attempt(conn, task, "succeeded", None, None, now)
        columns = transitions.stage_after_report(
            run, task, transitions.AttemptResult("succeeded", None, entry["outputs"]), now
        )
        result = {**columns["result"], "reused": source}
        applied = await apply_transition(deps, conn, run, task, {**columns, "result": result}, now)
    publish_changes(deps, task, run, applied)
    return True


async def lock_task(conn: Connection, task_id: str) -> tuple[Run | None, Task | None, float]:
    """The task and its run, held in the common order, and the time in epoch seconds (0 if there is no such task)."""
    owner = await tasks.get_owner(conn, task_id)
    if owner is None:
        return None, None, 0.0
    app, run_id = owner
    run = await runs.lock_and_bump(conn, app, run_id) if run_id else None
    return run, *await tasks.get_with_time(conn, task_id)


async def apply_transition(
    deps: Parts, conn: Connection, run: Run, task: Task | None, columns: Mapping[str, Any], now: float
) -> AppliedTransition:
    """Write a task's new columns and all that follows from them for its run, which is held."""
    changes: dict[str, Mapping[str, Any]] = {}
    if task is not None:
        if columns.get("state") == "publishing" and not planner.publication_moves(run, replace(task, **columns)):
            columns = {**columns, "state": "succeeded", "finished_at": now}
        changes[task.id] = columns
        task = replace(task, **columns)
    stages, other_states = await _affected_stages(conn, run, task)
    step = transitions.advance_run(run, stages, now, other_states)
    for stage_id, update in step.tasks.items():
        changes[stage_id] = {**changes.get(stage_id, {}), **update}
    stages_by_id = {stage.id: stage for stage in stages}
    dispatched = deps.doorbells.reserve(
        stages_by_id[stage_id].ready_task for stage_id in changes if changes[stage_id].get("state") == "ready"
    )
    for ready_task in dispatched:
        changes[ready_task.task] = {**changes[ready_task.task], "rung_at": now}
    for task_id in sorted(changes):
        await tasks.update_task(conn, task_id, changes[task_id])
    if step.tasks and not step.run:  # what was halted may have been the last that was open
        final_stages = [replace(stage, **step.tasks.get(stage.id, {})) for stage in stages]
        step = transitions.RunTransition(transitions.advance_run(run, final_stages, now, other_states).run, {})
    if step.run:
        await runs.update_run(conn, run, step.run)
    stopped = (stages_by_id[stage_id].worker for stage_id, update in step.tasks.items() if update.get("stop"))
    return AppliedTransition(
        dispatched,
        frozenset(worker for worker in stopped if worker),
        has_publications=any(columns.get("state") == "publishing" for columns in changes.values())
        or any(stages_by_id[stage_id].state == "publishing" for stage_id in step.tasks),
        ended_run=_describe_end(run, step.run) if "finished_at" in step.run else None,
    )


def _describe_end(run: Run, columns: Mapping[str, Any]) -> dict[str, Any]:
    reason = columns.get("reason") or {}
    extra = {"reason": reason["code"]} if reason.get("code") else {}
    return {
        "app": run.app,
        "pipeline": run.pipeline,
        "run": run.id,
        "status": columns.get("status", run.status),
        **extra,
    }


async def _affected_stages(conn: Connection, run: Run, changed: Task | None) -> tuple[list[Task], frozenset[TaskState]]:
    """The stages that a changed one may change, and the states of the rest: of a run of thousands that is little."""
    if changed is not None and len(run.plan["stages"]) == 1:
        return [changed], frozenset()
    if changed is not None and changed.state not in FAILED_STATES and run.status != "canceling":
        neighbours = transitions.find_neighbours(run, changed)
        other_states = await tasks.list_other_states(conn, run.id, {changed.name, *neighbours})
        if not other_states & FAILED_STATES:
            loaded = (
                await tasks.list_by_names(conn, run.id, neighbours - {changed.name})
                if neighbours - {changed.name}
                else []
            )
            return [changed, *loaded], other_states
    return [
        changed if changed and changed.id == stage.id else stage for stage in await tasks.list_by_run(conn, run.id)
    ], frozenset()


def publish_changes(deps: Parts, task: Task, run: Run | None, applied: AppliedTransition) -> None:
    """Wake whom a changed task may concern; of an instance it is not known what has become of it."""
    if run is None or deps.settings.app_stages is not None:  # with a limit, one that ends makes room
        deps.wakes.relay()
    if run is None:
        deps.wakes.converge(task.app)
        return
    if run.chain:
        deps.wakes.succeed()
    notify_waiters(deps, run.id, applied)


def notify_waiters(deps: Parts, run: str, applied: AppliedTransition) -> None:
    """For those who look at the run, and for workers."""
    deps.doorbells.publish_soon(applied.dispatched)
    deps.wakes.tell()
    if applied.has_publications:
        deps.wakes.publish()
    deps.bells.ring(notifications.run(run))
    if applied.ended_run:
        deps.bells.ring(notifications.end(run))
        if deps.settings.run_log:
            log.get("scheduler").info("run ended", **applied.ended_run)
    for worker in applied.workers_to_stop:
        deps.bells.ring(notifications.worker(worker))


async def expire_leases(deps: Parts) -> None:
    """Take tasks back from workers that were silent for a whole lease."""
    async with deps.db.read() as conn:
        expired = await tasks.list_expired(conn, await clock(conn))
    await for_each((task.id for task in expired), lambda task: _expire_lease(deps, task))


async def _expire_lease(deps: Parts, task_id: str) -> None:
    async with deps.db.write() as conn:
        run, task, now = await lock_task(conn, task_id)
        if task is None or task.state != "claimed" or (task.lease_until or 0) >= now:
            return
        columns = transitions.task_after_expiry(task, now)
        await tasks.end_attempt(conn, task, "lost", columns.get("reason"), None, now)
        applied = AppliedTransition()
        if run is None:
            await tasks.update_task(conn, task.id, columns)
        else:
            applied = await apply_transition(deps, conn, run, task, columns, now)
    publish_changes(deps, task, run, applied)


async def release_backoffs(deps: Parts) -> None:
    """Make ready what waited for the end of its pause after a failure."""
    async with deps.db.read() as conn:
        due_tasks = await tasks.list_backoff_over(conn, await clock(conn))
    await for_each(due_tasks, lambda task: _release_backoff(deps, task), lambda task: task.id)


async def _release_backoff(deps: Parts, task: Task) -> None:
    async with deps.db.write() as conn:
        current = await tasks.get(conn, task.id)
        if current is None or current.state != "waiting":
            return
        state = "waiting" if current.kind == "instance" and current.spec.get("model") else "ready"
        await tasks.update_task(conn, task.id, {"state": state, "not_before": None})
    publish_changes(deps, task, None, AppliedTransition())
