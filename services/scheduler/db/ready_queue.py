"""The line of ready tasks: whose turn it is, and for whom was rung."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import now
from services.scheduler.db.tables import tasks, workers
from services.scheduler.model.state import Doorbell, Place, Turn

RINGING = (
    select(tasks.c.resource_class, func.count().label("n"))
    .where(tasks.c.state == "ready", tasks.c.rung_at.is_not(None))
    .group_by(tasks.c.resource_class)
)


def _in_turn(limit: int | None) -> Select[Any]:
    """Ready tasks, best first: by priority, then of the app that is served least, then by age.

    `limit`: of how many stages of one app may be at work; those beyond it are not there.
    """
    served = (
        select(tasks.c.app, func.count().label("n"))
        .where(tasks.c.state == "claimed", tasks.c.kind == "stage")
        .group_by(tasks.c.app)
        .subquery()
    )
    at_work = func.coalesce(served.c.n, 0)
    query = select(tasks).select_from(tasks.outerjoin(served, served.c.app == tasks.c.app))
    query = query.where(tasks.c.state == "ready", tasks.c.stop.is_(False))
    if limit is not None:
        query = query.where(or_(tasks.c.kind == "instance", at_work < limit))
    return query.order_by(tasks.c.priority.desc(), at_work, tasks.c.created_at, tasks.c.replica)


async def first(
    c: AsyncConnection, worker: str, classes: Sequence[str], *, stages: bool, limit: int | None = None, most: int = 1
) -> tuple[list[Turn], bool, float]:
    """Whose turn it is, and who comes after; if it is somebody's, whether the worker drains, and the time."""
    given = {"by": worker, "classes": list(classes), "most": most}
    found = (await c.execute(_next(limit, stages), given)).all()
    if not found:
        return [], False, 0.0
    *_, drains, at = found[0]
    return [Turn(*row[:3]) for row in found], bool(drains), at


@cache
def _next(limit: int | None, stages: bool) -> Select[Any]:
    drains = select(workers.c.draining).where(workers.c.name == bindparam("by")).scalar_subquery()
    query = _in_turn(limit).with_only_columns(tasks.c.id, tasks.c.app, tasks.c.run, drains, now())
    query = query.where(tasks.c.resource_class.in_(bindparam("classes", expanding=True)))
    if not stages:
        query = query.where(tasks.c.kind == "instance")
    return query.limit(bindparam("most"))


async def ringing(c: AsyncConnection) -> dict[str, int]:
    """By class, how many ready tasks were rung for."""
    return {row.resource_class: row.n for row in await c.execute(RINGING)}


async def unrung(
    c: AsyncConnection, classes: Iterable[str], before: float | None, window: int, limit: int | None
) -> list[Doorbell]:
    """The next ready tasks that were not rung for; with `before` of those whose doorbell is older."""
    given = {"classes": list(classes), "most": window, **({} if before is None else {"before": before})}
    return [Doorbell(*row) for row in await c.execute(_silent(limit, before is None), given)]


@cache
def _silent(limit: int | None, never: bool) -> Select[Any]:
    silent = tasks.c.rung_at.is_(None) if never else tasks.c.rung_at < bindparam("before")
    query = _in_turn(limit).with_only_columns(tasks.c.id, tasks.c.resource_class)
    query = query.where(silent, tasks.c.resource_class.in_(bindparam("classes", expanding=True)))
    return query.limit(bindparam("most"))


async def places(c: AsyncConnection) -> list[Place]:
    """Where the ready stages stand, best first."""
    query = select(tasks.c.run, tasks.c.resource_class).where(tasks.c.state == "ready", tasks.c.kind == "stage")
    found = await c.execute(query.order_by(tasks.c.priority.desc(), tasks.c.created_at, tasks.c.replica))
    return [(row.run, row.resource_class) for row in found]


async def rung(c: AsyncConnection, found: Iterable[str], now: float) -> None:
    """One that is locked is about to change, and needs no bell or another."""
    ready = select(tasks.c.id).where(tasks.c.id.in_(list(found)), tasks.c.state == "ready")
    free = ready.with_for_update(skip_locked=True)
    await c.execute(update(tasks).where(tasks.c.id.in_(free)).values(rung_at=now))


async def depths(c: AsyncConnection) -> list[dict[str, Any]]:
    """Ready tasks by resource class, with the age of the oldest's row."""
    query = select(tasks.c.resource_class, func.count().label("depth"), func.min(tasks.c.created_at).label("oldest"))
    found = await c.execute(query.where(tasks.c.state == "ready").group_by(tasks.c.resource_class))
    return [dict(row) for row in found.mappings()]
