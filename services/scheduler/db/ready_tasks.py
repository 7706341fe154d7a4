"""The ready queue: queries on ready tasks, in scheduling order, and which of them have been dispatched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import DatabaseNow
from services.scheduler.db.tables import images, tasks, workers
from services.scheduler.model.task import ClaimCandidate, ClaimCandidates, QueueEntry, ReadyTask

DISPATCHED_COUNTS = (
    select(tasks.c.resource_class, func.count().label("n"))
    .where(tasks.c.state == "ready", tasks.c.dispatched_at.is_not(None))
    .group_by(tasks.c.resource_class)
)
MARK_DISPATCHED = (
    update(tasks)
    .where(
        tasks.c.id.in_(
            select(tasks.c.id)
            .where(tasks.c.id.in_(bindparam("task_ids", expanding=True)), tasks.c.state == "ready")
            .with_for_update(skip_locked=True)
        )
    )
    .values(dispatched_at=bindparam("now"))
)


_BUILT = select(images.c.image).where(images.c.image == tasks.c.image)
_HAS_IMAGE = or_(~exists(_BUILT), exists(_BUILT.where(images.c.engine == bindparam("engine"))))
"""The task's image was not built, or this engine has it."""
_HELD_BUILD = tasks.alias("held_build")
_IS_FIRST_BUILD = or_(
    tasks.c.kind != "build",
    ~exists().where(
        _HELD_BUILD.c.worker == bindparam("worker_name"),
        _HELD_BUILD.c.state == "claimed",
        _HELD_BUILD.c.stop_requested.is_(False),
        _HELD_BUILD.c.kind == "build",
        _HELD_BUILD.c.app == tasks.c.app,
    ),
)
"""A worker builds one image of an app at a time: builds without an end leave its other place to other apps."""

_OTHER = tasks.alias("other")
_SLOTLESS = select(_OTHER.c.id).where(
    _OTHER.c.state == "ready",
    _OTHER.c.stop_requested.is_(False),
    _OTHER.c.kind != "stage",
    _OTHER.c.kind.in_(bindparam("kinds", expanding=True)),
    _OTHER.c.resource_class.in_(bindparam("classes", expanding=True)),
)
"""Ready tasks that need no slot, wherever they are in the order."""


def _ready_in_order(limit: int | None) -> Select[Any]:
    """Ready tasks in scheduling order: by priority, then by how few stages of the app are claimed, then by age.

    `limit`: how many stages of one app may be claimed at the same time; the query leaves out those beyond it.
    """
    claimed = (
        select(tasks.c.app, func.count().label("n"))
        .where(tasks.c.state == "claimed", tasks.c.kind == "stage")
        .group_by(tasks.c.app)
        .subquery()
    )
    claimed_count = func.coalesce(claimed.c.n, 0)
    query = select(tasks).select_from(tasks.outerjoin(claimed, claimed.c.app == tasks.c.app))
    query = query.where(tasks.c.state == "ready", tasks.c.stop_requested.is_(False))
    if limit is not None:
        query = query.where(or_(tasks.c.kind != "stage", claimed_count < limit))
    return query.order_by(tasks.c.priority.desc(), claimed_count, tasks.c.created_at, tasks.c.replica)


async def list_next_ready(
    conn: AsyncConnection,
    worker: str,
    classes: Sequence[str],
    *,
    kinds: Sequence[str],
    engine: str = "",
    limit: int | None = None,
    max_tasks: int = 1,
) -> ClaimCandidates:
    """The next tasks for a worker.

    `kinds`: those that it takes; `engine`: its Docker Engine, which must have the image of a task if that was built.
    """
    params = {
        "worker_name": worker, "classes": list(classes), "kinds": list(kinds), "engine": engine, "max_rows": max_tasks,
    }  # fmt: skip
    rows = (await conn.execute(_next_query(limit), params)).all()
    if not rows:
        return ClaimCandidates()
    *_, draining, has_slotless, database_time = rows[0]
    candidates = tuple(ClaimCandidate(*row[:3]) for row in rows)
    return ClaimCandidates(candidates, bool(draining), bool(has_slotless), database_time)


@cache
def _next_query(limit: int | None) -> Select[Any]:
    draining = select(workers.c.draining).where(workers.c.name == bindparam("worker_name")).scalar_subquery()
    has_slotless = select(exists(_SLOTLESS)).scalar_subquery()
    columns = (tasks.c.id, tasks.c.app, tasks.c.run, draining, has_slotless, DatabaseNow())
    query = _ready_in_order(limit).with_only_columns(*columns)
    query = query.where(tasks.c.resource_class.in_(bindparam("classes", expanding=True)))
    query = query.where(tasks.c.kind.in_(bindparam("kinds", expanding=True)), or_(tasks.c.image.is_(None), _HAS_IMAGE))
    query = query.where(_IS_FIRST_BUILD)
    return query.limit(bindparam("max_rows"))


async def count_dispatched(conn: AsyncConnection) -> dict[str, int]:
    """How many ready tasks have been dispatched, by resource class."""
    return {row.resource_class: row.n for row in await conn.execute(DISPATCHED_COUNTS)}


async def list_undispatched(
    conn: AsyncConnection, classes: Iterable[str], dispatched_before: float | None, window: int, limit: int | None
) -> list[ReadyTask]:
    """The next ready tasks that were never dispatched, or that were dispatched before `dispatched_before`."""
    params = {
        "classes": list(classes),
        "max_rows": window,
        **({} if dispatched_before is None else {"dispatched_before": dispatched_before}),
    }
    return [
        ReadyTask(*row) for row in await conn.execute(_undispatched_query(limit, dispatched_before is None), params)
    ]


@cache
def _undispatched_query(limit: int | None, never_dispatched: bool) -> Select[Any]:
    undispatched = (
        tasks.c.dispatched_at.is_(None) if never_dispatched else tasks.c.dispatched_at < bindparam("dispatched_before")
    )
    query = _ready_in_order(limit).with_only_columns(tasks.c.id, tasks.c.resource_class)
    query = query.where(undispatched, tasks.c.resource_class.in_(bindparam("classes", expanding=True)))
    return query.limit(bindparam("max_rows"))


async def list_ready_stages(conn: AsyncConnection) -> list[QueueEntry]:
    """Run and resource class of each ready stage, in scheduling order."""
    query = select(tasks.c.run, tasks.c.resource_class).where(tasks.c.state == "ready", tasks.c.kind == "stage")
    rows = await conn.execute(query.order_by(tasks.c.priority.desc(), tasks.c.created_at, tasks.c.replica))
    return [(row.run, row.resource_class) for row in rows]


async def mark_dispatched(conn: AsyncConnection, task_ids: Iterable[str], now: float) -> None:
    """Skips locked rows: their transaction changes them, and dispatches them again if needed."""
    await conn.execute(MARK_DISPATCHED, {"task_ids": list(task_ids), "now": now})


async def get_queue_depths(conn: AsyncConnection) -> list[dict[str, Any]]:
    """Number of ready tasks and creation time of the oldest, by resource class."""
    query = select(tasks.c.resource_class, func.count().label("depth"), func.min(tasks.c.created_at).label("oldest"))
    rows = await conn.execute(query.where(tasks.c.state == "ready").group_by(tasks.c.resource_class))
    return [dict(row) for row in rows.mappings()]
