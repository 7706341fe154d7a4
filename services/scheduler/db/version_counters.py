"""Named counters: how far the scheduler has read the registry, and the version of the route table."""

from __future__ import annotations

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.scheduler.db.tables import counters

SELECT_COUNTER = select(counters.c.value).where(counters.c.name == bindparam("counter"))


async def get_counter(conn: AsyncConnection, name: str) -> int:
    value = (await conn.execute(SELECT_COUNTER, {"counter": name})).scalar()
    return int(value or 0)


async def set_counter(conn: AsyncConnection, name: str, value: int) -> None:
    statement = upsert(conn, counters).values(name=name, value=value)
    await conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


async def increment_counter(conn: AsyncConnection, name: str) -> int:
    """The new value. The row stays locked until the transaction ends, so that values become visible in order."""
    statement = upsert(conn, counters).values(name=name, value=1)
    statement = statement.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1})
    return int((await conn.execute(statement.returning(counters.c.value))).scalar_one())
