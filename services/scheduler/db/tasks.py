"""Rows of tasks: what waits, what may be claimed, what is held by whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import CursorResult, RowMapping, bindparam, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import insert_many, now
from services.scheduler.db import due_work as of_time
from services.scheduler.db.tables import attempts, tasks
from services.scheduler.model.state import OPEN, Attempt, Task, TaskState

SHOWN = [
    tasks.c[name]
    for name in (
        "id", "kind", "app", "run", "name", "replica", "resource_class", "state", "reason", "attempt", "phase",
        "detail", "progress", "log_tail", "result", "created_at", "started_at", "finished_at",
    )
]  # fmt: skip
"""What callers see of a stage."""


PLACES = 10_000
"""Of how many claimed tasks is remembered where they belong."""
_PLACES: dict[str, tuple[str, str | None]] = {}
STALE_S = 2 * 3600.0
"""When no link to upload to is good any more that an attempt was given."""
BEGUN = ("id", "kind", "app", "run", "name", "replica", "resource_class", "priority", "state", "spec", "created_at")
"""What can be said of a new stage."""
STANDING = [column for column in tasks.c if column.name not in ("spec", "openapi", "endpoint")]
"""How a stage stands."""


# Statements of every claim and report are put together once: that costs as much as to execute them.
GET = select(tasks).where(tasks.c.id == bindparam("id"))
GET_LOCKED = GET.with_for_update()
GET_AT = GET_LOCKED.add_columns(now().label("now"))
PLACE = select(tasks.c.app, tasks.c.run).where(tasks.c.id == bindparam("id"))
OF_RUN = select(*STANDING).where(tasks.c.run == bindparam("of")).order_by(tasks.c.replica)
NAMED = OF_RUN.where(tasks.c.name.in_(bindparam("names", expanding=True)))
STATES = (
    select(tasks.c.state)
    .distinct()
    .where(tasks.c.run == bindparam("of"), tasks.c.name.not_in(bindparam("names", expanding=True)))
)
HELD_BY = select(*STANDING, tasks.c.endpoint).where(tasks.c.worker == bindparam("by"), tasks.c.state == "claimed")
STOPPING = HELD_BY.where(tasks.c.stop)
CHANGE = update(tasks).where(tasks.c.id == bindparam("this"))
HEARD = CHANGE.where(tasks.c.token == bindparam("held"), tasks.c.state == "claimed")
RENEW = (
    update(tasks)
    .where(tuple_(tasks.c.id, tasks.c.token).in_(bindparam("held", expanding=True)), tasks.c.state == "claimed")
    .values(lease_until=bindparam("until"))
)
CLAIM = (
    CHANGE.where(tasks.c.state == "ready", tasks.c.stop.is_(False))
    .values(
        state="claimed",
        worker=bindparam("by"),
        token=tasks.c.token + 1,
        attempt=tasks.c.attempt + 1,
        lease_until=bindparam("until"),
        phase="claimed",
        reason=None,
        detail=None,
        progress=None,
        started_at=func.coalesce(tasks.c.started_at, bindparam("now")),
    )
    .returning(tasks)
)
END_ATTEMPT = update(attempts).where(attempts.c.task == bindparam("of"), attempts.c.token == bindparam("held"))


def _task(row: RowMapping) -> Task:
    return Task(**row)


def begun(stage: Task, rung_at: float | None) -> dict[str, Any]:
    """The row of a new stage: only what can be said of it already."""
    return {**{name: stage.__dict__[name] for name in BEGUN}, "rung_at": rung_at}


async def add(c: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """All with the same columns."""
    await insert_many(c, (tasks, rows))


async def get(c: AsyncConnection, task: str, *, lock: bool = True) -> Task | None:
    """The task, locked until the transaction ends."""
    row = (await c.execute(GET_LOCKED if lock else GET, {"id": task})).mappings().first()
    return _task(row) if row else None


async def get_at(c: AsyncConnection, task: str) -> tuple[Task | None, float]:
    """The task, locked, and the time of the look in epoch seconds; 0 when it is not there."""
    row = (await c.execute(GET_AT, {"id": task})).first()
    if row is None:
        return None, 0.0
    *values, at = row
    return Task(**dict(zip(tasks.c.keys(), values, strict=True))), at


async def of_run(c: AsyncConnection, run: str) -> list[Task]:
    """The run's stages in the order of the manifest, as they stand."""
    return _standing(await c.execute(OF_RUN, {"of": run}))


async def named(c: AsyncConnection, run: str, names: Iterable[str]) -> list[Task]:
    """Some of the run's stages."""
    return _standing(await c.execute(NAMED, {"of": run, "names": list(names)}))


async def states(c: AsyncConnection, run: str, without: Iterable[str]) -> frozenset[TaskState]:
    """In which states the run's other stages are."""
    return frozenset((await c.execute(STATES, {"of": run, "names": list(without)})).scalars())


async def place(c: AsyncConnection, task: str) -> tuple[str, str | None] | None:
    """The task's app and run, which never change."""
    if (known := _PLACES.get(task)) is not None:
        return known
    row = (await c.execute(PLACE, {"id": task})).first()
    return (row.app, row.run) if row else None


async def of_runs(c: AsyncConnection, wanted: Iterable[str]) -> dict[str, list[Task]]:
    """The stages of runs, with what callers see of them."""
    found: dict[str, list[Task]] = {run: [] for run in wanted}
    query = select(*SHOWN).where(tasks.c.run.in_(list(found))).order_by(tasks.c.replica)
    for task in _standing(await c.execute(query)):
        found[task.run or ""].append(task)
    return found


def _standing(answer: CursorResult[Any]) -> list[Task]:
    names = tuple(answer.keys())
    return [Task(**dict(zip(names, row, strict=True))) for row in answer]


async def instances(c: AsyncConnection, app: str) -> list[Task]:
    """The app's open instances."""
    query = select(tasks).where(tasks.c.app == app, tasks.c.kind == "instance", tasks.c.state.in_(OPEN))
    return [_task(row) for row in (await c.execute(query.order_by(tasks.c.created_at, tasks.c.id))).mappings()]


async def change(c: AsyncConnection, task: str, columns: Mapping[str, Any]) -> None:
    if columns:
        await c.execute(CHANGE, {"this": task, **columns})


async def claim(c: AsyncConnection, task: str, worker: str, now: float, lease: float) -> Task | None:
    """Give the task to the worker: as it is now, with its new token and attempt. None when it is not to be had."""
    given = {"this": task, "by": worker, "until": now + lease, "now": now}
    row = (await c.execute(CLAIM, given)).mappings().first()
    if row is None:
        return None
    found = _task(row)
    if len(_PLACES) > PLACES:
        _PLACES.clear()
    _PLACES[task] = found.app, found.run
    new = {"task": task, "token": found.token, "attempt": found.attempt, "worker": worker, "started_at": now}
    await c.execute(insert(attempts), [new])
    return found


async def end_attempt(c: AsyncConnection, task: Task, outcome: str, why: Any, usage: Any, now: float) -> None:
    sweep_at = now + STALE_S if task.run and outcome != "succeeded" else None
    columns = {"outcome": outcome, "reason": why, "usage": usage, "finished_at": now, "sweep_at": sweep_at}
    await c.execute(END_ATTEMPT, {"of": task.id, "held": task.token, **columns})


async def unswept(c: AsyncConnection, now: float, limit: int) -> list[Attempt]:
    """Attempts that were not accepted and that upload no more: what they may have left can go."""
    query = select(tasks.c.app, tasks.c.run, tasks.c.name, attempts.c.task, attempts.c.token)
    query = query.join_from(attempts, tasks, tasks.c.id == attempts.c.task).where(attempts.c.sweep_at < now)
    return [Attempt(*row) for row in await c.execute(query.order_by(attempts.c.sweep_at).limit(limit))]


async def swept(c: AsyncConnection, attempt: Attempt) -> None:
    await c.execute(END_ATTEMPT, {"of": attempt.task, "held": attempt.token, "sweep_at": None})


async def attempts_of(c: AsyncConnection, found: Iterable[str]) -> list[dict[str, Any]]:
    query = select(attempts).where(attempts.c.task.in_(list(found))).order_by(attempts.c.started_at, attempts.c.token)
    return [dict(row) for row in (await c.execute(query)).mappings()]


async def renew(c: AsyncConnection, held: Sequence[Task], until: float) -> None:
    """Extend leases, unless they have ended meanwhile, to a time in epoch seconds."""
    if held:
        await c.execute(RENEW, {"held": [(task.id, task.token) for task in held], "until": until})


async def heard(c: AsyncConnection, said: Iterable[tuple[Task, Mapping[str, Any]]]) -> None:
    """What their worker says of tasks, in this order, unless a lease has ended meanwhile."""
    for _, alike in groupby(said, key=lambda one: one[1].keys()):
        await c.execute(HEARD, [{"this": task.id, "held": task.token, **columns} for task, columns in alike])


async def held_by(c: AsyncConnection, worker: str) -> list[Task]:
    """What the worker's leases are for, without what each is to be and its description: asked with every heartbeat."""
    return [_task(row) for row in (await c.execute(HELD_BY, {"by": worker})).mappings()]


async def stopping(c: AsyncConnection, worker: str) -> list[Task]:
    """Those of `held_by` that are to be stopped, now or later: mostly none."""
    return [_task(row) for row in (await c.execute(STOPPING, {"by": worker})).mappings()]


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


async def logged(c: AsyncConnection, app: str, component: str) -> Task | None:
    """The component's newest instance that has ever started."""
    query = select(tasks).where(
        tasks.c.app == app, tasks.c.kind == "instance", tasks.c.name == component, tasks.c.attempt > 0
    )
    row = (await c.execute(query.order_by(tasks.c.created_at.desc()).limit(1))).mappings().first()
    return _task(row) if row else None
