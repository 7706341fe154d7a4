"""Rows of runs and of remembered submissions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

from sqlalchemy import ColumnElement, Executable, and_, bindparam, delete, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import Rows, insert_many, now, upsert
from services.scheduler.callbacks.events import Callback
from services.scheduler.db import due_work as of_time
from services.scheduler.db.due_work import OPEN_RUN
from services.scheduler.db.run_plan_cache import Plans
from services.scheduler.db.tables import attempts, callbacks, deliveries, runs, submissions, tasks
from services.scheduler.model.state import ENDED_RUN, Run

PLANS = Plans()
HEAD = [column for column in runs.c if column is not runs.c.plan]
BEGUN = [one.name for one in fields(Run) if one.name not in ("reason", "started_at", "finished_at")]
"""What can be said of a new run."""
THIS = (runs.c.app == bindparam("of"), runs.c.id == bindparam("this"))
_WHOLE, _HEAD = select(runs).where(*THIS), select(*HEAD).where(*THIS)
WHOLE = {False: _WHOLE, True: _WHOLE.with_for_update()}
GET = {False: _HEAD, True: _HEAD.with_for_update()}
"""By whether the row is to be locked."""
_COUNT = update(runs).where(*THIS).values(version=runs.c.version + 1)
HOLD_WHOLE, HOLD = _COUNT.returning(*runs.c), _COUNT.returning(*HEAD)
_SOME = select(runs.c.id).where(runs.c.app == bindparam("of"), runs.c.status == "queued").limit(bindparam("most"))
WAITING = select(select(func.count()).select_from(_SOME.subquery()).scalar_subquery(), now())
CHANGE = update(runs).where(runs.c.id == bindparam("this"))
REMEMBERED_S = 24 * 3600.0
"""How long an Idempotency-Key answers for its first submission."""


async def add(c: AsyncConnection, new: Sequence[Run], stages: Rows = (), told: Sequence[Callback] = ()) -> None:
    """Runs with their tasks and callbacks: on PostgreSQL in one statement."""
    await insert_many(
        c,
        (runs, [{name: run.__dict__[name] for name in BEGUN} for run in new]),
        (tasks, stages),
        (callbacks, [callback.__dict__ for callback in told]),
    )


async def get(c: AsyncConnection, app: str, run: str, *, lock: bool = False) -> Run | None:
    """The run, locked until the transaction ends if asked so. Its plan never changes: it is read once."""
    plan = PLANS.get(run)
    return await _found(c, (WHOLE if plan is None else GET)[lock], app, run, plan)


async def hold(c: AsyncConnection, app: str, run: str) -> Run | None:
    """The run, locked until the transaction ends, as it is after a change of one of its stages: counted."""
    plan = PLANS.get(run)
    return await _found(c, HOLD_WHOLE if plan is None else HOLD, app, run, plan)


async def _found(c: AsyncConnection, query: Executable, app: str, run: str, plan: dict[str, Any] | None) -> Run | None:
    row = (await c.execute(query, {"of": app, "this": run})).mappings().first()
    if row is None:
        return None
    found = Run(**row) if plan is None else Run(plan=plan, **row)
    PLANS.keep(run, found.plan)
    return found


async def versions(c: AsyncConnection, found: Iterable[str]) -> dict[str, int]:
    query = select(runs.c.id, runs.c.version).where(runs.c.id.in_(list(found)))
    return {row.id: row.version for row in await c.execute(query)}


async def change(c: AsyncConnection, run: Run, columns: Mapping[str, Any]) -> Run:
    """Write the columns and count the change, so that watchers see a new ETag."""
    values = {**columns, "version": run.version + 1}
    await c.execute(CHANGE, {"this": run.id, **values})
    return Run(**{**run.__dict__, **values})


async def touch(c: AsyncConnection, found: Iterable[str]) -> None:
    """Count a change that is only in the runs' stages. They are locked in one order, as by all who lock several."""
    ordered = select(runs.c.id).where(runs.c.id.in_(list(found))).order_by(runs.c.id).with_for_update()
    await c.execute(update(runs).where(runs.c.id.in_(ordered)).values(version=runs.c.version + 1))


async def overdue(c: AsyncConnection, now: float) -> list[Run]:
    """Those that have not begun, or not ended, in time."""
    query = select(runs).where(of_time.late(now))
    return [Run(**row) for row in (await c.execute(query)).mappings()]


async def open_chains(c: AsyncConnection) -> list[tuple[str, str]]:
    """App and run of the chains that have not ended."""
    query = select(runs.c.app, runs.c.id).where(of_time.BEGUN_CHAIN)
    return [(row.app, row.id) for row in await c.execute(query)]


async def chained(c: AsyncConnection, first: str) -> list[Run]:
    """The runs of a chain, in order."""
    query = select(runs).where(runs.c.chain == first, runs.c.position.is_not(None)).order_by(runs.c.position)
    return [Run(**row) for row in (await c.execute(query)).mappings()]


async def of_chain(c: AsyncConnection, first: str) -> list[Run]:
    """All runs that a chain ever had."""
    query = select(runs).where(runs.c.chain == first)
    return [Run(**row) for row in (await c.execute(query)).mappings()]


async def older(c: AsyncConnection, app: str, ended_before: float, limit: int) -> list[Run]:
    """Runs that ended before, without those that continue another."""
    alone = or_(runs.c.chain.is_(None), runs.c.chain == runs.c.id)
    query = select(runs).where(runs.c.app == app, runs.c.created_at < ended_before, runs.c.finished_at < ended_before)
    query = query.where(alone, runs.c.status.in_(ENDED_RUN)).order_by(runs.c.created_at).limit(limit)
    return [Run(**row) for row in (await c.execute(query)).mappings()]


async def remove(c: AsyncConnection, run: str) -> None:
    """The run with all that belongs to it alone."""
    own = select(tasks.c.id).where(tasks.c.run == run)
    await c.execute(delete(attempts).where(attempts.c.task.in_(own)))
    for table in (tasks, callbacks, deliveries, submissions):
        await c.execute(delete(table).where(table.c.run == run))
    await c.execute(delete(runs).where(runs.c.id == run))


async def unchain(c: AsyncConnection, first: str) -> None:
    """The runs after the first one made way for those of a new attempt."""
    await c.execute(update(runs).where(runs.c.chain == first, runs.c.id != first).values(position=None))


async def of_app(c: AsyncConnection, app: str) -> list[Run]:
    """The app's runs that have not ended."""
    query = select(runs).where(runs.c.app == app, runs.c.status.in_(OPEN_RUN))
    return [Run(**row) for row in (await c.execute(query)).mappings()]


async def page(
    c: AsyncConnection,
    app: str,
    *,
    user: str | None,
    pipelines: frozenset[str] | None,
    status: str | None,
    after: tuple[float, str] | None,
    created_after: float | None,
    label: str | None,
    limit: int,
) -> list[Run]:
    """Newest first, without most of their plans.

    `after` is the last one of the page before; None for a filter lets everything through.

    `label` is `key` or `key=value`.
    """
    query = select(*HEAD, runs.c.plan["outputs"].label("named")).where(runs.c.app == app)
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
        found_label = _label(c, key)
        query = query.where(found_label == value if value else found_label.is_not(None))
    if after is not None:
        query = query.where(tuple_(runs.c.created_at, runs.c.id) < after)
    found = await c.execute(query.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit))
    return [Run(plan={"outputs": named}, **dict(zip(found.keys(), row, strict=False))) for *row, named in found]


def _label(c: AsyncConnection, key: str) -> ColumnElement[Any]:
    """The label's value. In SQLite a key of its own is a path, in which not every character can be written."""
    if c.dialect.name != "sqlite":
        return cast(ColumnElement[Any], runs.c.labels[key].as_string())
    each = func.json_each(runs.c.labels).table_valued("key", "value")
    return select(each.c.value).where(each.c.key == key).scalar_subquery()


Key = tuple[str, str, str, str]
"""App, user, path and Idempotency-Key."""
OF_KEY = tuple_(submissions.c.app, submissions.c.user, submissions.c.path, submissions.c.key)


async def remember(c: AsyncConnection, asked: Sequence[Mapping[str, Any]], now: float) -> dict[Key, str]:
    """Note requests by their keys. Of the keys that were free: which run they stand for now."""
    if not asked:
        return {}
    ordered = sorted(asked, key=_key)  # one order of locks for all
    old = and_(OF_KEY.in_([_key(row) for row in ordered]), submissions.c.created_at <= now - REMEMBERED_S)
    await c.execute(delete(submissions).where(old))
    added = upsert(c, submissions).values([dict(row) for row in {_key(row): row for row in reversed(ordered)}.values()])
    kept = await c.execute(added.on_conflict_do_nothing().returning(submissions))
    return {(row.app, row.user, row.path, row.key): row.run for row in kept}


def _key(row: Mapping[str, Any]) -> Key:
    return row["app"], row["user"], row["path"], row["key"]


async def remembered(c: AsyncConnection, key: Key) -> tuple[str, str] | None:
    """The body's hash and the run of the request with this key."""
    row = (await c.execute(select(submissions.c.body, submissions.c.run).where(OF_KEY.in_([key])))).first()
    return (row.body, row.run) if row else None


async def forget(c: AsyncConnection, key: Key) -> None:
    await c.execute(delete(submissions).where(OF_KEY.in_([key])))


async def waiting(c: AsyncConnection, app: str, limit: int) -> tuple[int, float]:
    """How many runs of the app have not begun, counted up to `limit`; and the time in epoch seconds."""
    number, at = (await c.execute(WAITING, {"of": app, "most": limit})).one()
    return number, at
