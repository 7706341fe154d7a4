"""Rows of tasks and of their attempts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import CursorResult, bindparam, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import DatabaseNow, insert_many
from services.scheduler.db import due_conditions
from services.scheduler.db.tables import attempts, tasks
from services.scheduler.db.task_rows import task_from_row, task_to_row
from services.scheduler.db.task_run_cache import AppAndRun, TaskRunCache
from services.scheduler.model.reason import Reason
from services.scheduler.model.task import OPEN_STATES, AttemptRef, Task, TaskState

PUBLIC_COLUMNS = [
    tasks.c[name]
    for name in (
        "id", "kind", "app", "run", "name", "replica", "resource_class", "state", "reason", "attempt", "phase",
        "detail", "progress", "log_tail", "result", "created_at", "started_at", "finished_at", "image",
    )
]  # fmt: skip
"""Columns of a stage that the API shows."""
UPLOAD_LINK_TTL_S = 2 * 3600.0
"""After this time no upload link of an attempt is valid any more."""
STATE_COLUMNS = [column for column in tasks.c if column.name not in ("spec", "openapi", "endpoint")]
"""Columns without the large ones that describe an instance."""


# Statements of claims and reports are built once: building one costs as much as executing it.
SELECT = select(tasks).where(tasks.c.id == bindparam("task_id"))
SELECT_LOCKED = SELECT.with_for_update()
SELECT_LOCKED_WITH_TIME = SELECT_LOCKED.add_columns(DatabaseNow().label("now"))
SELECT_APP_AND_RUN = select(tasks.c.app, tasks.c.run).where(tasks.c.id == bindparam("task_id"))
SELECT_BY_RUN = select(*STATE_COLUMNS).where(tasks.c.run == bindparam("run_id")).order_by(tasks.c.replica)
SELECT_BY_NAMES = SELECT_BY_RUN.where(tasks.c.name.in_(bindparam("names", expanding=True)))
SELECT_OTHER_STATES = (
    select(tasks.c.state)
    .distinct()
    .where(tasks.c.run == bindparam("run_id"), tasks.c.name.not_in(bindparam("names", expanding=True)))
)
SELECT_CLAIMED_BY = select(*STATE_COLUMNS, tasks.c.endpoint).where(
    tasks.c.worker == bindparam("worker_name"), tasks.c.state == "claimed"
)
SELECT_STOPPING = SELECT_CLAIMED_BY.where(tasks.c.stop_requested)
UPDATE = update(tasks).where(tasks.c.id == bindparam("task_id"))
UPDATE_LEASED = UPDATE.where(tasks.c.token == bindparam("lease_token"), tasks.c.state == "claimed")
RENEW_LEASES = (
    update(tasks)
    .where(tuple_(tasks.c.id, tasks.c.token).in_(bindparam("leases", expanding=True)), tasks.c.state == "claimed")
    .values(lease_until=bindparam("until"))
)
END_ATTEMPT = update(attempts).where(
    attempts.c.task == bindparam("task_id"), attempts.c.token == bindparam("lease_token")
)


async def add(conn: AsyncConnection, new_tasks: Iterable[Task]) -> None:
    await insert_many(conn, (tasks, [task_to_row(task.__dict__) for task in new_tasks]))


async def get(conn: AsyncConnection, task: str, *, lock: bool = True) -> Task | None:
    """The task; `lock` keeps its row locked until the transaction ends."""
    row = (await conn.execute(SELECT_LOCKED if lock else SELECT, {"task_id": task})).mappings().first()
    return task_from_row(row) if row else None


async def get_with_time(conn: AsyncConnection, task: str) -> tuple[Task | None, float]:
    """The task, its row locked, and the database's time in epoch seconds; None and 0 when there is no such task."""
    row = (await conn.execute(SELECT_LOCKED_WITH_TIME, {"task_id": task})).first()
    if row is None:
        return None, 0.0
    *values, database_time = row
    return task_from_row(dict(zip(tasks.c.keys(), values, strict=True))), database_time


async def list_by_run(conn: AsyncConnection, run: str) -> list[Task]:
    """The run's stages in the order of the manifest."""
    return _tasks_from_result(await conn.execute(SELECT_BY_RUN, {"run_id": run}))


async def list_by_names(conn: AsyncConnection, run: str, names: Iterable[str]) -> list[Task]:
    """The run's stages with these names."""
    return _tasks_from_result(await conn.execute(SELECT_BY_NAMES, {"run_id": run, "names": list(names)}))


async def list_other_states(conn: AsyncConnection, run: str, excluded: Iterable[str]) -> frozenset[TaskState]:
    """The distinct states of the run's stages, except the excluded ones."""
    return frozenset((await conn.execute(SELECT_OTHER_STATES, {"run_id": run, "names": list(excluded)})).scalars())


async def get_app_and_run(conn: AsyncConnection, task: str) -> AppAndRun | None:
    """The task's app and run, which never change and are cached."""
    if (cached := TaskRunCache.for_connection(conn).get(task)) is not None:
        return cached
    row = (await conn.execute(SELECT_APP_AND_RUN, {"task_id": task})).first()
    return (row.app, row.run) if row else None


async def list_by_runs(conn: AsyncConnection, run_ids: Iterable[str]) -> dict[str, list[Task]]:
    """The stages of runs, by run, with the columns that the API shows."""
    tasks_by_run: dict[str, list[Task]] = {run: [] for run in run_ids}
    query = select(*PUBLIC_COLUMNS).where(tasks.c.run.in_(list(tasks_by_run))).order_by(tasks.c.replica)
    for task in _tasks_from_result(await conn.execute(query)):
        tasks_by_run[task.run or ""].append(task)
    return tasks_by_run


def _tasks_from_result(result: CursorResult[Any]) -> list[Task]:
    names = tuple(result.keys())
    return [task_from_row(dict(zip(names, row, strict=True))) for row in result]


async def list_instances(conn: AsyncConnection, app: str) -> list[Task]:
    """The app's open instances."""
    query = select(tasks).where(tasks.c.app == app, tasks.c.kind == "instance", tasks.c.state.in_(OPEN_STATES))
    return [
        task_from_row(row) for row in (await conn.execute(query.order_by(tasks.c.created_at, tasks.c.id))).mappings()
    ]


async def update_task(conn: AsyncConnection, task: str, columns: Mapping[str, Any]) -> None:
    if columns:
        await conn.execute(UPDATE, {"task_id": task, **task_to_row(columns)})


async def end_attempt(
    conn: AsyncConnection, task: Task, outcome: str, reason: Reason | None, usage: Mapping[str, Any] | None, now: float
) -> None:
    sweep_at = now + UPLOAD_LINK_TTL_S if task.run and outcome != "succeeded" else None
    columns = {"outcome": outcome, "reason": reason, "usage": usage, "finished_at": now, "sweep_at": sweep_at}
    columns = task_to_row(columns)
    await conn.execute(END_ATTEMPT, {"task_id": task.id, "lease_token": task.token, **columns})


async def list_unswept_attempts(conn: AsyncConnection, now: float, limit: int) -> list[AttemptRef]:
    """Unsuccessful attempts whose upload links have expired and whose files are not deleted yet."""
    query = select(tasks.c.app, tasks.c.run, tasks.c.name, attempts.c.task, attempts.c.token)
    query = query.join_from(attempts, tasks, tasks.c.id == attempts.c.task).where(attempts.c.sweep_at < now)
    return [AttemptRef(*row) for row in await conn.execute(query.order_by(attempts.c.sweep_at).limit(limit))]


async def mark_attempt_swept(conn: AsyncConnection, attempt: AttemptRef) -> None:
    await conn.execute(END_ATTEMPT, {"task_id": attempt.task, "lease_token": attempt.token, "sweep_at": None})


async def list_attempts(conn: AsyncConnection, task_ids: Iterable[str]) -> list[tuple[str, int]]:
    """Task and number of each attempt, oldest first."""
    query = (
        select(attempts.c.task, attempts.c.attempt)
        .where(attempts.c.task.in_(list(task_ids)))
        .order_by(attempts.c.started_at, attempts.c.token)
    )
    return [(row.task, row.attempt) for row in await conn.execute(query)]


async def renew_leases(conn: AsyncConnection, leased_tasks: Sequence[Task], until: float) -> None:
    """Renew leases until a time in epoch seconds; those that have ended meanwhile stay ended."""
    if leased_tasks:
        await conn.execute(RENEW_LEASES, {"leases": [(task.id, task.token) for task in leased_tasks], "until": until})


async def update_from_heartbeat(conn: AsyncConnection, updates: Iterable[tuple[Task, Mapping[str, Any]]]) -> None:
    """Update tasks in this order; those whose lease has ended meanwhile are skipped."""
    for _, group in groupby(updates, key=lambda item: item[1].keys()):
        await conn.execute(
            UPDATE_LEASED,
            [{"task_id": task.id, "lease_token": task.token, **task_to_row(columns)} for task, columns in group],
        )


async def list_claimed_by(conn: AsyncConnection, worker: str) -> list[Task]:
    """The worker's claimed tasks, without the large columns `spec` and `openapi`: each heartbeat reads them."""
    return [task_from_row(row) for row in (await conn.execute(SELECT_CLAIMED_BY, {"worker_name": worker})).mappings()]


async def list_stopping(conn: AsyncConnection, worker: str) -> list[Task]:
    """The worker's claimed tasks with a stop request, due now or later."""
    return [task_from_row(row) for row in (await conn.execute(SELECT_STOPPING, {"worker_name": worker})).mappings()]


async def list_expired(conn: AsyncConnection, now: float) -> list[Task]:
    """Claimed tasks whose lease has expired."""
    query = select(tasks).where(due_conditions.lease_expired(now))
    return [task_from_row(row) for row in (await conn.execute(query)).mappings()]


async def list_by_state(conn: AsyncConnection, kind: str, state: str) -> list[Task]:
    query = select(tasks).where(tasks.c.kind == kind, tasks.c.state == state)
    return [task_from_row(row) for row in (await conn.execute(query)).mappings()]


async def list_backoff_over(conn: AsyncConnection, now: float) -> list[Task]:
    """Waiting tasks whose back-off is over."""
    query = select(tasks).where(due_conditions.backoff_over(now))
    return [task_from_row(row) for row in (await conn.execute(query)).mappings()]


async def find_newest_started(conn: AsyncConnection, app: str, component: str) -> Task | None:
    """The component's newest instance that was claimed at least once; its log is shown."""
    query = select(tasks).where(
        tasks.c.app == app, tasks.c.kind == "instance", tasks.c.name == component, tasks.c.attempt > 0
    )
    row = (
        (await conn.execute(query.order_by(tasks.c.stop_requested, tasks.c.created_at.desc()).limit(1)))
        .mappings()
        .first()
    )
    return task_from_row(row) if row else None
