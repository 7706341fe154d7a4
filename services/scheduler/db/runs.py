"""Rows of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

from sqlalchemy import ColumnElement, Executable, RowMapping, bindparam, delete, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import DatabaseNow, Rows, insert_many
from libs.common.frozen import copy_with
from services.scheduler.db import due_conditions
from services.scheduler.db.callbacks import callback_to_row
from services.scheduler.db.due_conditions import OPEN_RUN
from services.scheduler.db.run_plan_cache import RunPlanCache
from services.scheduler.db.tables import attempts, callbacks, deliveries, idempotency_keys, runs, tasks
from services.scheduler.model.callback import Callback
from services.scheduler.model.reason import Reason
from services.scheduler.model.run import FINAL_STATUSES, Run
from services.scheduler.model.run_plan import RunPlan, parse_run_plan

WITHOUT_PLAN = [column for column in runs.c if column is not runs.c.plan]
NEW_RUN_COLUMNS = [field.name for field in fields(Run) if field.name not in ("reason", "started_at", "finished_at")]
"""Columns that a new run has a value for."""
BY_KEY = (runs.c.app == bindparam("app_name"), runs.c.id == bindparam("run_id"))
_SELECT_ALL, _SELECT_WITHOUT_PLAN = select(runs).where(*BY_KEY), select(*WITHOUT_PLAN).where(*BY_KEY)
SELECT_ALL = {False: _SELECT_ALL, True: _SELECT_ALL.with_for_update()}
SELECT_WITHOUT_PLAN = {False: _SELECT_WITHOUT_PLAN, True: _SELECT_WITHOUT_PLAN.with_for_update()}
"""Keys: whether to lock the row."""
_BUMP_VERSION = update(runs).where(*BY_KEY).values(version=runs.c.version + 1)
LOCK_AND_BUMP_ALL, LOCK_AND_BUMP = _BUMP_VERSION.returning(*runs.c), _BUMP_VERSION.returning(*WITHOUT_PLAN)
_QUEUED = (
    select(runs.c.id).where(runs.c.app == bindparam("app_name"), runs.c.status == "queued").limit(bindparam("max_rows"))
)
COUNT_QUEUED = select(select(func.count()).select_from(_QUEUED.subquery()).scalar_subquery(), DatabaseNow())
UPDATE = update(runs).where(runs.c.id == bindparam("run_id"))
_BY_IDS = runs.c.id.in_(bindparam("run_ids", expanding=True))
SELECT_VERSIONS = select(runs.c.id, runs.c.version).where(_BY_IDS)
BUMP_VERSIONS = (
    update(runs)
    .where(runs.c.id.in_(select(runs.c.id).where(_BY_IDS).order_by(runs.c.id).with_for_update()))
    .values(version=runs.c.version + 1)
)


async def add(
    conn: AsyncConnection, new_runs: Sequence[Run], stages: Rows = (), new_callbacks: Sequence[Callback] = ()
) -> None:
    """Insert runs with their tasks and callbacks; on PostgreSQL in one statement."""
    await insert_many(
        conn,
        (runs, [_new_run_row(run) for run in new_runs]),
        (tasks, stages),
        (callbacks, [callback_to_row(callback) for callback in new_callbacks]),
    )


def _new_run_row(run: Run) -> dict[str, Any]:
    return {**{name: run.__dict__[name] for name in NEW_RUN_COLUMNS}, "plan": run.plan.to_json()}


def _run_from_row(row: RowMapping | Mapping[str, Any], plan: RunPlan | None = None) -> Run:
    """`plan`: that of a row without one."""
    reason = None if row["reason"] is None else Reason.from_json(row["reason"])
    return Run(**{**row, "plan": plan or parse_run_plan(row["plan"]), "reason": reason})


async def get(conn: AsyncConnection, app: str, run: str, *, lock: bool = False) -> Run | None:
    """The run; `lock` keeps its row locked until the transaction ends. The plan never changes and is cached."""
    plan = RunPlanCache.for_connection(conn).get(run)
    return await _load_run(conn, (SELECT_ALL if plan is None else SELECT_WITHOUT_PLAN)[lock], app, run, plan)


async def lock_and_bump(conn: AsyncConnection, app: str, run: str) -> Run | None:
    """Lock the run until the transaction ends, and increment its version for the change of a stage that follows."""
    plan = RunPlanCache.for_connection(conn).get(run)
    return await _load_run(conn, LOCK_AND_BUMP_ALL if plan is None else LOCK_AND_BUMP, app, run, plan)


async def _load_run(conn: AsyncConnection, query: Executable, app: str, run: str, plan: RunPlan | None) -> Run | None:
    row = (await conn.execute(query, {"app_name": app, "run_id": run})).mappings().first()
    if row is None:
        return None
    loaded = _run_from_row(row, plan)
    RunPlanCache.for_connection(conn).put(run, loaded.plan)
    return loaded


async def get_versions(conn: AsyncConnection, run_ids: Iterable[str]) -> dict[str, int]:
    return {row.id: row.version for row in await conn.execute(SELECT_VERSIONS, {"run_ids": list(run_ids)})}


async def update_run(conn: AsyncConnection, run: Run, columns: Mapping[str, Any]) -> Run:
    """Update the columns and increment the version, which is the run's ETag."""
    updated = copy_with(run, **columns, version=run.version + 1)
    reason = {"reason": updated.reason and updated.reason.to_json()} if "reason" in columns else {}
    await conn.execute(UPDATE, {"run_id": run.id, **columns, **reason, "version": updated.version})
    return updated


async def bump_versions(conn: AsyncConnection, run_ids: Iterable[str]) -> None:
    """Increment the versions of runs whose stages have changed. Rows are locked by id, as everywhere."""
    await conn.execute(BUMP_VERSIONS, {"run_ids": list(run_ids)})


async def list_overdue(conn: AsyncConnection, now: float) -> list[Run]:
    """Runs that have not started, or not finished, before their deadline."""
    query = select(runs).where(due_conditions.run_overdue(now))
    return [_run_from_row(row) for row in (await conn.execute(query)).mappings()]


async def list_open_chains(conn: AsyncConnection) -> list[tuple[str, str]]:
    """App and first run of each open chain."""
    query = select(runs.c.app, runs.c.id).where(due_conditions.OPEN_CHAIN)
    return [(row.app, row.id) for row in await conn.execute(query)]


async def list_chain(conn: AsyncConnection, chain_id: str) -> list[Run]:
    """The runs of the chain's current attempt, in order."""
    query = select(runs).where(runs.c.chain == chain_id, runs.c.position.is_not(None)).order_by(runs.c.position)
    return [_run_from_row(row) for row in (await conn.execute(query)).mappings()]


async def list_chain_attempts(conn: AsyncConnection, chain_id: str) -> list[Run]:
    """The runs of all attempts of a chain."""
    query = select(runs).where(runs.c.chain == chain_id)
    return [_run_from_row(row) for row in (await conn.execute(query)).mappings()]


async def list_ended_before(conn: AsyncConnection, app: str, ended_before: float, limit: int) -> list[Run]:
    """Runs that ended before a time, except those that continue another run."""
    starts_itself = or_(runs.c.chain.is_(None), runs.c.chain == runs.c.id)
    query = select(runs).where(runs.c.app == app, runs.c.created_at < ended_before, runs.c.finished_at < ended_before)
    query = query.where(starts_itself, runs.c.status.in_(FINAL_STATUSES)).order_by(runs.c.created_at).limit(limit)
    return [_run_from_row(row) for row in (await conn.execute(query)).mappings()]


async def delete_run(conn: AsyncConnection, run: str) -> None:
    """Delete the run with its tasks, attempts, callback, deliveries and idempotency key."""
    task_ids = select(tasks.c.id).where(tasks.c.run == run)
    await conn.execute(delete(attempts).where(attempts.c.task.in_(task_ids)))
    for table in (tasks, callbacks, deliveries, idempotency_keys):
        await conn.execute(delete(table).where(table.c.run == run))
    await conn.execute(delete(runs).where(runs.c.id == run))


async def detach_successors(conn: AsyncConnection, chain_id: str) -> None:
    """Take the later runs out of the chain: a new attempt of the first one starts others."""
    await conn.execute(update(runs).where(runs.c.chain == chain_id, runs.c.id != chain_id).values(position=None))


async def list_open_runs(conn: AsyncConnection, app: str) -> list[Run]:
    """The app's runs whose status is not final."""
    query = select(runs).where(runs.c.app == app, runs.c.status.in_(OPEN_RUN))
    return [_run_from_row(row) for row in (await conn.execute(query)).mappings()]


async def list_page(
    conn: AsyncConnection,
    app: str,
    *,
    user: str | None,
    pipelines: frozenset[str] | None,
    status: str | None,
    cursor: tuple[float, str] | None,
    created_after: float | None,
    label: str | None,
    limit: int,
) -> list[Run]:
    """Newest first, without plans except their outputs.

    `cursor` is the last run of the previous page. A filter that is None matches all runs.

    `label` is `key` or `key=value`.
    """
    query = select(*WITHOUT_PLAN, runs.c.plan["outputs"].label("named")).where(runs.c.app == app)
    if user is not None:
        query = query.where(runs.c.user == user)
    if pipelines is not None:
        query = query.where(runs.c.pipeline.in_(pipelines))
    if status is not None:
        query = query.where(runs.c.status == status)
    if created_after is not None:
        query = query.where(runs.c.created_at > created_after)
    if label is not None:
        key, _, value = label.partition("=")
        label_value = _label_value(conn, key)
        query = query.where(label_value == value if value else label_value.is_not(None))
    if cursor is not None:
        query = query.where(tuple_(runs.c.created_at, runs.c.id) < cursor)
    rows = await conn.execute(query.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit))
    return [
        _run_from_row(dict(zip(rows.keys(), row, strict=False)), RunPlan(timeout=0.0, outputs=tuple(outputs)))
        for *row, outputs in rows
    ]


def _label_value(conn: AsyncConnection, key: str) -> ColumnElement[Any]:
    """The value of a label. SQLite takes a key for a path, which cannot contain every character."""
    if conn.dialect.name != "sqlite":
        return cast(ColumnElement[Any], runs.c.labels[key].as_string())
    entry = func.json_each(runs.c.labels).table_valued("key", "value")
    return select(entry.c.value).where(entry.c.key == key).scalar_subquery()


async def count_queued(conn: AsyncConnection, app: str, limit: int) -> tuple[int, float]:
    """Number of queued runs of the app, counted up to `limit`, and the database's time in epoch seconds."""
    count, database_time = (await conn.execute(COUNT_QUEUED, {"app_name": app, "max_rows": limit})).one()
    return count, database_time
