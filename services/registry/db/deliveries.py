"""Rows of webhook deliveries: for idempotency, and as the log that owners read."""

from __future__ import annotations

from sqlalchemy import Integer, bindparam, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import DatabaseNow, upsert_in
from services.registry.db.tables import deliveries
from services.registry.deliveries import Delivery

RETENTION_S = 7 * 24 * 3600.0
"""Forges redeliver within days, not weeks."""
MAX_REFUSED = 50
"""Kept of an app: who has no secret can neither fill the table nor push the others off the page."""
MAX_REFUSED_PER_MINUTE = 20
MINUTE_S = 60.0
ACCEPTED = deliveries.c.status < 400
REFUSED = deliveries.c.status >= 400
FIND_ACCEPTED = select(deliveries).where(
    deliveries.c.app == bindparam("app_name"), deliveries.c.id == bindparam("delivery"), ACCEPTED
)
LIMITING_ACCEPTED = select(
    select(deliveries.c.received_at)
    .where(deliveries.c.app == bindparam("app_name"), ACCEPTED)
    .order_by(deliveries.c.received_at.desc())
    .offset(bindparam("others", type_=Integer))
    .limit(1)
    .scalar_subquery()
    .label("received_at"),
    DatabaseNow().label("now"),
)
"""The time of the newest delivery that has `others` newer ones, and the time now."""
ADD_ACCEPTED = {
    dialect: upsert_in(dialect, deliveries).on_conflict_do_nothing() for dialect in ("postgresql", "sqlite")
}


async def find_accepted(conn: AsyncConnection, app: str, delivery: str) -> Delivery | None:
    """The delivery with this id of the forge, if it was handled before."""
    row = (await conn.execute(FIND_ACCEPTED, {"app_name": app, "delivery": delivery})).mappings().first()
    return Delivery(**row) if row else None


async def get(conn: AsyncConnection, app: str, delivery: str) -> Delivery | None:
    query = select(deliveries).where(deliveries.c.app == app, deliveries.c.id == delivery)
    row = (await conn.execute(query)).mappings().first()
    return Delivery(**row) if row else None


async def list_newest(conn: AsyncConnection, app: str, limit: int) -> list[Delivery]:
    query = select(deliveries).where(deliveries.c.app == app).order_by(deliveries.c.received_at.desc()).limit(limit)
    return [Delivery(**row) for row in (await conn.execute(query)).mappings()]


async def delete_old(conn: AsyncConnection, now: float) -> None:
    await conn.execute(delete(deliveries).where(deliveries.c.received_at < now - RETENTION_S))


async def add_accepted(conn: AsyncConnection, delivery: Delivery, now: float) -> None:
    await conn.execute(ADD_ACCEPTED[conn.dialect.name], {**delivery.__dict__, "received_at": now})


async def add_refused(conn: AsyncConnection, delivery: Delivery, now: float) -> None:
    """Keeps the newest MAX_REFUSED of the app."""
    await conn.execute(insert(deliveries).values(**{**delivery.__dict__, "received_at": now}))
    of_app = (deliveries.c.app == delivery.app) & REFUSED
    newest = select(deliveries.c.id).where(of_app).order_by(deliveries.c.received_at.desc()).limit(MAX_REFUSED)
    await conn.execute(delete(deliveries).where(of_app, deliveries.c.id.not_in(newest)))


async def may_add_refused(conn: AsyncConnection, app: str, now: float) -> bool:
    """Whether fewer than MAX_REFUSED_PER_MINUTE were added in the last minute."""
    recent = (deliveries.c.app == app) & REFUSED & (deliveries.c.received_at > now - MINUTE_S)
    count = (await conn.execute(select(func.count()).select_from(deliveries).where(recent))).scalar_one()
    return count < MAX_REFUSED_PER_MINUTE


async def seconds_until_accepted(conn: AsyncConnection, app: str, limit: int) -> tuple[float | None, float]:
    """Seconds until fewer than `limit` were accepted in a minute, None when one more may be now; and the time."""
    row = (await conn.execute(LIMITING_ACCEPTED, {"app_name": app, "others": limit - 1})).one()
    seconds = None if row.received_at is None else row.received_at + MINUTE_S - row.now
    return (seconds if seconds is not None and seconds > 0 else None), row.now
