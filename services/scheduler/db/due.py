"""What time makes due: each condition once, for the step that acts on it and for the question whether there is any."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db.tables import callbacks, deliveries, runs, schedules, tasks

OPEN_RUN = ("queued", "running", "canceling")

Condition = ColumnElement[bool]
BEGUN_CHAIN: Condition = and_(runs.c.status.in_(OPEN_RUN), runs.c.chain == runs.c.id)
"""The first run of a chain that has not ended."""
CHANGED = callbacks.join(runs, runs.c.id == callbacks.c.run)
NEWS: Condition = and_(callbacks.c.open, runs.c.version > callbacks.c.version)
"""Of `CHANGED`: a callback whose run has changed since it was looked at."""


def rested(now: float) -> Condition:
    """A task whose pause after a failure is over."""
    return and_(tasks.c.state == "waiting", tasks.c.not_before <= now)


def lapsed(now: float) -> Condition:
    """A task whose lease has ended."""
    return and_(tasks.c.state == "claimed", tasks.c.lease_until < now)


def late(now: float) -> Condition:
    """A run that has not begun, or not ended, in time."""
    return and_(runs.c.status.in_(("queued", "running")), runs.c.deadline < now)


def scheduled(now: float) -> Condition:
    return and_(schedules.c.paused.is_(False), schedules.c.next_at <= now)


def undelivered(now: float) -> Condition:
    return and_(deliveries.c.state == "pending", deliveries.c.next_at <= now)


class Due(NamedTuple):
    """Whether there is any of each."""

    rested: bool
    late: bool
    scheduled: bool
    chained: bool
    lapsed: bool
    told: bool
    """Callbacks to be told of something."""


async def due(c: AsyncConnection, now: float) -> Due:
    """In one question: most seconds nothing is."""
    asked: list[Condition] = [
        exists().where(rested(now)),
        exists().where(late(now)),
        exists().where(scheduled(now)),
        exists().where(BEGUN_CHAIN),
        exists().where(lapsed(now)),
        exists().where(undelivered(now)) | exists().select_from(CHANGED).where(NEWS),
    ]
    row = (await c.execute(select(*asked))).one()
    return Due(*(bool(one) for one in row))
