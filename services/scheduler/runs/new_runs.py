"""New runs: built with their stages, and inserted with their tasks and callbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from libs.common import log
from libs.common.frozen import copy_with
from services.scheduler.db import Connection
from services.scheduler.db import runs as run_rows
from services.scheduler.db.task_rows import new_task_row
from services.scheduler.model.callback import Callback, CallbackRequest
from services.scheduler.model.run import Run
from services.scheduler.model.task import Task
from services.scheduler.plans.planner import build_stage_tasks


@dataclass(frozen=True)
class SubmittedRun:
    """The run: new, or of an earlier request with the same key."""

    run: Run
    stages: list[Task]
    callback: CallbackRequest | None = None


def start_run(draft: Run, now: float, callback: CallbackRequest | None = None) -> SubmittedRun:
    """The run with its creation time, deadline and stages."""
    run = copy_with(draft, created_at=now, deadline=now + draft.plan.timeout)
    return SubmittedRun(run, build_stage_tasks(run), callback)


async def insert_runs(
    conn: Connection, new: Sequence[SubmittedRun], dispatched: Mapping[str, float] = MappingProxyType({})
) -> None:
    """Insert new runs with their tasks and callbacks. `dispatched`: time of dispatch by task."""
    stages = [new_task_row(task, dispatched.get(task.id)) for submitted in new for task in submitted.stages]
    with_callback = [(submitted.run, submitted.callback) for submitted in new if submitted.callback is not None]
    callbacks = [Callback(run=run.id, app=run.app, user=run.user, spec=spec) for run, spec in with_callback]
    await run_rows.add(conn, [submitted.run for submitted in new], stages, callbacks)


def log_submission(run: Run) -> None:
    """At level debug: a line at info would take a tenth of a submission."""
    log.get("scheduler").debug("Run submitted", app=run.app, pipeline=run.pipeline, run=run.id, user=run.user)
