"""What time has made due, in one question: most seconds nothing has."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db.tables import callbacks, deliveries, runs, schedules, tasks

OPEN_RUN = ("queued", "running", "canceling")


class Due(NamedTuple):
    """Whether there is any of each."""

    rested: bool
    """Tasks whose pause after a failure is over."""
    late: bool
    """Runs that have not begun, or not ended, in time."""
    scheduled: bool
    chained: bool
    lapsed: bool
    told: bool
    """Callbacks to be told of something."""


async def due(c: AsyncConnection, now: float) -> Due:
    changed = callbacks.join(runs, runs.c.id == callbacks.c.run)
    asked: list[ColumnElement[bool]] = [
        exists().where(tasks.c.state == "waiting", tasks.c.not_before <= now),
        exists().where(runs.c.status.in_(("queued", "running")), runs.c.deadline < now),
        exists().where(schedules.c.paused.is_(False), schedules.c.next_at <= now),
        exists().where(runs.c.status.in_(OPEN_RUN), runs.c.chain == runs.c.id),
        exists().where(tasks.c.state == "claimed", tasks.c.lease_until < now),
        exists().where(and_(deliveries.c.state == "pending", deliveries.c.next_at <= now))
        | exists().select_from(changed).where(callbacks.c.open, runs.c.version > callbacks.c.version),
    ]
    row = (await c.execute(select(*asked))).one()
    return Due(*(bool(one) for one in row))
