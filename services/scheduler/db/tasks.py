"""Rows of tasks: what waits, what may be claimed, what is held by whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import CursorResult, RowMapping, Select, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db import due as of_time
from services.scheduler.db.tables import attempts, tasks
from services.scheduler.state import OPEN, Place, Task

SHOWN = [
    tasks.c[name]
    for name in (
        "id", "kind", "app", "run", "name", "replica", "resource_class", "state", "reason", "attempt", "phase",
        "detail", "progress", "log_tail", "result", "created_at", "started_at", "finished_at",
    )
]  # fmt: skip
"""What callers see of a stage."""


STANDING = [column for column in tasks.c if column.name not in ("spec", "openapi", "endpoint")]
"""How a stage stands. A run may have a thousand of them, and what they are to do is most of their rows."""


def _task(row: RowMapping) -> Task:
    return Task(**row)


async def add(c: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """In as few statements as there are sets of columns: most columns of a new task are empty."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        given = {name: value for name, value in row.items() if value is not None}
        alike.setdefault(tuple(given), []).append(given)
    for group in alike.values():
        await c.execute(insert(tasks), group)


async def get(c: AsyncConnection, task: str, *, lock: bool = True) -> Task | None:
    """The task, locked until the transaction ends."""
    query = select(tasks).where(tasks.c.id == task)
    row = (await c.execute(query.with_for_update() if lock else query)).mappings().first()
    return _task(row) if row else None


async def of_run(c: AsyncConnection, run: str, *, lock: bool = False) -> list[Task]:
    """The run's stages in the order of the manifest, which is the order of locks; without what they are to do."""
    query = select(*STANDING).where(tasks.c.run == run).order_by(tasks.c.replica)
    return _standing(await c.execute(query.with_for_update() if lock else query))


async def of_runs(c: AsyncConnection, wanted: Iterable[str]) -> dict[str, list[Task]]:
    """The stages of runs, with what callers see of them."""
    found: dict[str, list[Task]] = {run: [] for run in wanted}
    query = select(*SHOWN).where(tasks.c.run.in_(list(found))).order_by(tasks.c.replica)
    for task in _standing(await c.execute(query)):
        found[task.run or ""].append(task)
    return found


def _standing(answer: CursorResult[Any]) -> list[Task]:
    names = tuple(answer.keys())
    return [Task(spec={}, **dict(zip(names, row, strict=True))) for row in answer]


async def instances(c: AsyncConnection, app: str) -> list[Task]:
    """The app's open instances."""
    query = select(tasks).where(tasks.c.app == app, tasks.c.kind == "instance", tasks.c.state.in_(OPEN))
    return [_task(row) for row in (await c.execute(query.order_by(tasks.c.created_at, tasks.c.id))).mappings()]


async def change(c: AsyncConnection, task: str, columns: Mapping[str, Any]) -> None:
    if columns:
        await c.execute(update(tasks).where(tasks.c.id == task).values(**columns))


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


async def next_ready(
    c: AsyncConnection, classes: Sequence[str], *, stages: bool, limit: int | None = None
) -> Task | None:
    """Whose turn it is. Locked; locked ones are passed over."""
    query = _in_turn(limit).where(tasks.c.resource_class.in_(classes))
    if not stages:
        query = query.where(tasks.c.kind == "instance")
    row = (await c.execute(query.limit(1).with_for_update(skip_locked=True, of=tasks))).mappings().first()
    return _task(row) if row else None


async def claim(c: AsyncConnection, task: Task, worker: str, now: float, lease: float) -> Task:
    """Give the task to the worker. Returns it as it is now, with its new token and attempt."""
    columns = {
        "state": "claimed",
        "worker": worker,
        "token": task.token + 1,
        "attempt": task.attempt + 1,
        "lease_until": now + lease,
        "phase": "claimed",
        "reason": None,
        "detail": None,
        "progress": None,
        "started_at": task.started_at or now,
    }
    await change(c, task.id, columns)
    row = {"task": task.id, "token": task.token + 1, "attempt": task.attempt + 1, "worker": worker, "started_at": now}
    await c.execute(insert(attempts), [row])
    return Task(**{**task.__dict__, **columns})


async def end_attempt(c: AsyncConnection, task: Task, outcome: str, why: Any, usage: Any, now: float) -> None:
    where = and_(attempts.c.task == task.id, attempts.c.token == task.token)
    await c.execute(update(attempts).where(where).values(outcome=outcome, reason=why, usage=usage, finished_at=now))


async def attempts_of(c: AsyncConnection, found: Iterable[str]) -> list[dict[str, Any]]:
    query = select(attempts).where(attempts.c.task.in_(list(found))).order_by(attempts.c.started_at, attempts.c.token)
    return [dict(row) for row in (await c.execute(query)).mappings()]


async def held_by(c: AsyncConnection, worker: str) -> list[Task]:
    query = select(tasks).where(tasks.c.worker == worker, tasks.c.state == "claimed")
    return [_task(row) for row in (await c.execute(query)).mappings()]


async def lapsed(c: AsyncConnection, now: float) -> list[Task]:
    """Tasks whose lease has ended."""
    query = select(tasks).where(of_time.lapsed(now))
    return [_task(row) for row in (await c.execute(query)).mappings()]


async def in_state(c: AsyncConnection, kind: str, state: str) -> list[Task]:
    query = select(tasks).where(tasks.c.kind == kind, tasks.c.state == state)
    return [_task(row) for row in (await c.execute(query)).mappings()]


async def rest_over(c: AsyncConnection, now: float) -> list[Task]:
    """Waiting tasks whose pause after a failure is over."""
    query = select(tasks).where(of_time.rested(now))
    return [_task(row) for row in (await c.execute(query)).mappings()]


async def ringing(c: AsyncConnection) -> int:
    """Ready tasks that were rung for."""
    query = select(func.count()).where(tasks.c.state == "ready", tasks.c.rung_at.is_not(None))
    return int((await c.execute(query)).scalar_one())


async def unrung(c: AsyncConnection, before: float | None, window: int, limit: int | None) -> list[tuple[str, str]]:
    """Id and class of the next ready tasks that were not rung for; with `before` of those whose doorbell is older."""
    if window <= 0:
        return []
    silent = tasks.c.rung_at.is_(None) if before is None else tasks.c.rung_at < before
    query = _in_turn(limit).with_only_columns(tasks.c.id, tasks.c.resource_class)
    return [(row.id, row.resource_class) for row in await c.execute(query.where(silent).limit(window))]


async def line(c: AsyncConnection) -> list[Place]:
    """Where the ready stages stand, best first."""
    query = select(tasks.c.run, tasks.c.resource_class).where(tasks.c.state == "ready", tasks.c.kind == "stage")
    found = await c.execute(query.order_by(tasks.c.priority.desc(), tasks.c.created_at, tasks.c.replica))
    return [(row.run, row.resource_class) for row in found]


async def rung(c: AsyncConnection, found: Iterable[str], now: float) -> None:
    await c.execute(update(tasks).where(tasks.c.id.in_(list(found)), tasks.c.state == "ready").values(rung_at=now))


async def depths(c: AsyncConnection) -> list[dict[str, Any]]:
    """Ready tasks by resource class, with the age of the oldest's row."""
    query = select(tasks.c.resource_class, func.count().label("depth"), func.min(tasks.c.created_at).label("oldest"))
    found = await c.execute(query.where(tasks.c.state == "ready").group_by(tasks.c.resource_class))
    return [dict(row) for row in found.mappings()]


async def logged(c: AsyncConnection, app: str, component: str) -> Task | None:
    """The component's newest instance that has ever started."""
    query = select(tasks).where(
        tasks.c.app == app, tasks.c.kind == "instance", tasks.c.name == component, tasks.c.attempt > 0
    )
    row = (await c.execute(query.order_by(tasks.c.created_at.desc()).limit(1))).mappings().first()
    return _task(row) if row else None
