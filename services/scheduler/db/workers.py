"""Rows of workers, and the lease of the one scheduler that runs the periodic loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import now, upsert
from services.scheduler.db.tables import leaders, workers
from services.scheduler.model.state import Worker

SELECT_DRAINING = select(select(workers.c.draining).where(workers.c.name == bindparam("this")).scalar_subquery(), now())


async def upsert_worker(conn: AsyncConnection, columns: Mapping[str, Any]) -> bool:
    """Note what a worker says of itself: all but whether it drains, which is answered."""
    statement = upsert(conn, workers)
    updates = {name: statement.excluded[name] for name in columns if name != "name"}
    upserted = statement.on_conflict_do_update(index_elements=["name"], set_=updates).returning(workers.c.draining)
    return bool((await conn.execute(upserted, {"draining": False, **columns})).scalar_one())


async def get_draining(conn: AsyncConnection, name: str) -> tuple[bool, float]:
    """Whether the worker drains, and the time of the look in epoch seconds."""
    draining, database_time = (await conn.execute(SELECT_DRAINING, {"this": name})).one()
    return bool(draining), database_time


async def list_workers(conn: AsyncConnection) -> list[Worker]:
    return [Worker(**row) for row in (await conn.execute(select(workers).order_by(workers.c.name))).mappings()]


async def list_alive(conn: AsyncConnection, now: float) -> list[Worker]:
    return [worker for worker in await list_workers(conn) if worker.is_alive(now)]


async def set_draining(conn: AsyncConnection, name: str, draining: bool) -> bool:
    """Whether there is such a worker."""
    return bool((await conn.execute(update(workers).where(workers.c.name == name).values(draining=draining))).rowcount)


async def acquire_leadership(conn: AsyncConnection, name: str, owner: str, lease: float) -> bool:
    """Take or renew the leadership called `name` for `lease` s; False while another owner's lease lasts."""
    values = {"owner": owner, "until": now() + lease}
    owned_or_expired = or_(leaders.c.owner == owner, leaders.c.until < now())
    statement = upsert(conn, leaders).values(name=name, **values)
    acquired = statement.on_conflict_do_update(index_elements=["name"], set_=values, where=owned_or_expired)
    return bool((await conn.execute(acquired)).rowcount)


async def release_leadership(conn: AsyncConnection, name: str, owner: str) -> None:
    condition = and_(leaders.c.name == name, leaders.c.owner == owner)
    await conn.execute(update(leaders).where(condition).values(until=0.0))
