"""Leader election: the lease of the one scheduler that runs the control loops."""

from __future__ import annotations

from sqlalchemy import and_, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import DatabaseNow, upsert
from services.scheduler.db.tables import leaders


async def acquire_leadership(conn: AsyncConnection, name: str, owner: str, lease: float) -> bool:
    """Acquire or renew the leadership `name` for `lease` seconds; False while another owner's lease is valid."""
    values = {"owner": owner, "lease_until": DatabaseNow() + lease}
    owned_or_expired = or_(leaders.c.owner == owner, leaders.c.lease_until < DatabaseNow())
    statement = upsert(conn, leaders).values(name=name, **values)
    acquired = statement.on_conflict_do_update(index_elements=["name"], set_=values, where=owned_or_expired)
    return bool((await conn.execute(acquired)).rowcount)


async def release_leadership(conn: AsyncConnection, name: str, owner: str) -> None:
    condition = and_(leaders.c.name == name, leaders.c.owner == owner)
    await conn.execute(update(leaders).where(condition).values(lease_until=0.0))
