"""Rows of workers, and the lease of the one scheduler that runs the periodic loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import now, upsert
from services.scheduler.db.tables import leaders, workers
from services.scheduler.model.state import Worker

DRAINING = select(select(workers.c.draining).where(workers.c.name == bindparam("this")).scalar_subquery(), now())


async def seen(c: AsyncConnection, columns: Mapping[str, Any]) -> bool:
    """Note what a worker says of itself: all but whether it drains, which is answered."""
    added = upsert(c, workers)
    told = {name: added.excluded[name] for name in columns if name != "name"}
    kept = added.on_conflict_do_update(index_elements=["name"], set_=told).returning(workers.c.draining)
    return bool((await c.execute(kept, {"draining": False, **columns})).scalar_one())


async def draining(c: AsyncConnection, name: str) -> tuple[bool, float]:
    """Whether the worker drains, and the time of the look in epoch seconds."""
    drains, at = (await c.execute(DRAINING, {"this": name})).one()
    return bool(drains), at


async def listed(c: AsyncConnection) -> list[Worker]:
    return [Worker(**row) for row in (await c.execute(select(workers).order_by(workers.c.name))).mappings()]


async def alive(c: AsyncConnection, now: float) -> list[Worker]:
    return [worker for worker in await listed(c) if worker.alive(now)]


async def drain(c: AsyncConnection, name: str, draining: bool) -> bool:
    """Whether there is such a worker."""
    return bool((await c.execute(update(workers).where(workers.c.name == name).values(draining=draining))).rowcount)


async def lead(c: AsyncConnection, name: str, owner: str, lease: float) -> bool:
    """Take or renew the leadership called `name` for `lease` s; False while another owner's lease lasts."""
    values = {"owner": owner, "until": now() + lease}
    mine_or_over = or_(leaders.c.owner == owner, leaders.c.until < now())
    added = upsert(c, leaders).values(name=name, **values)
    taken = added.on_conflict_do_update(index_elements=["name"], set_=values, where=mine_or_over)
    return bool((await c.execute(taken)).rowcount)


async def resign(c: AsyncConnection, name: str, owner: str) -> None:
    mine = and_(leaders.c.name == name, leaders.c.owner == owner)
    await c.execute(update(leaders).where(mine).values(until=0.0))
