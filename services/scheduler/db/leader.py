"""Leader election: the lease of the one scheduler that runs the control loops."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Double, and_, bindparam, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import DatabaseNow, upsert_in
from services.scheduler.db.tables import leaders


async def acquire_leadership(conn: AsyncConnection, name: str, owner: str, lease: float) -> bool:
    """Acquire or renew the leadership `name` for `lease` seconds; False while another owner's lease is valid.

    One statement.
    """
    params = {"name": name, "owner": owner, "lease": lease}
    return bool((await conn.execute(_build_acquire(conn.dialect.name), params)).rowcount)


@cache
def _build_acquire(dialect: str) -> Any:
    """Built once: the leader renews its lease every few seconds, also while nothing else happens."""
    statement = upsert_in(dialect, leaders).values(lease_until=DatabaseNow() + bindparam("lease", type_=Double))
    new = statement.excluded
    owned_or_expired = or_(leaders.c.owner == new.owner, leaders.c.lease_until < DatabaseNow())
    updates = {"owner": new.owner, "lease_until": new.lease_until}
    return statement.on_conflict_do_update(index_elements=["name"], set_=updates, where=owned_or_expired)


async def release_leadership(conn: AsyncConnection, name: str, owner: str) -> None:
    """One statement."""
    condition = and_(leaders.c.name == name, leaders.c.owner == owner)
    await conn.execute(update(leaders).where(condition).values(lease_until=0.0))
