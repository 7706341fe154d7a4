"""What time makes due: each condition once, for the step that acts on it and for the question whether there is any."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Double,
    and_,
    bindparam,
    column,
    exists,
    func,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db.tables import callbacks, deliveries, rollouts, runs, schedules, tasks

OPEN_RUN = ("queued", "running", "canceling")

Condition = ColumnElement[bool]
Time = float | BindParameter[float]
OPEN_CHAIN: Condition = and_(runs.c.status.in_(OPEN_RUN), runs.c.chain == runs.c.id)
"""The first run of a chain that has not ended."""
CALLBACKS_WITH_RUN = callbacks.join(runs, runs.c.id == callbacks.c.run)
RUN_CHANGED: Condition = and_(callbacks.c.open, runs.c.version > callbacks.c.version)
"""Of `CHANGED`: a callback whose run has changed since it was looked at."""
PUBLISHING: Condition = and_(tasks.c.kind == "stage", tasks.c.state == "publishing")
ROLLOUT_ACTIVE: Condition = (
    exists().where(rollouts.c.status == "starting")
    | exists().where(rollouts.c.reported.is_(False))
    | exists().where(tasks.c.kind == "instance", tasks.c.state == "waiting")
)
"""A revision that goes live or of which the registry has not heard, or an instance that waits for its model."""


def backoff_over(now: Time) -> Condition:
    """A task whose pause after a failure is over."""
    return and_(tasks.c.state == "waiting", tasks.c.not_before <= now)


def lease_expired(now: Time) -> Condition:
    """A task whose lease has ended."""
    return and_(tasks.c.state == "claimed", tasks.c.lease_until < now)


def run_overdue(now: Time) -> Condition:
    """A run that has not begun, or not ended, in time."""
    return and_(runs.c.status.in_(("queued", "running")), runs.c.deadline < now)


def schedule_due(now: Time) -> Condition:
    return and_(schedules.c.paused.is_(False), schedules.c.next_at <= now)


def delivery_due(now: Time) -> Condition:
    return and_(deliveries.c.state == "pending", deliveries.c.next_at <= now)


class DueWork(NamedTuple):
    """Whether there is any of each."""

    backoffs: bool
    overdue_runs: bool
    schedules: bool
    chains: bool
    expired_leases: bool
    callbacks: bool
    """Callbacks to be told of something."""
    rollouts: bool
    publications: bool
    """Outputs to be brought to their places."""
    open_runs: bool
    """Runs that have not ended."""
    next_at: float | None
    """Epoch seconds at which the next schedule, callback or end of a lease is due."""

    @property
    def is_busy(self) -> bool:
        """Something may become due that no time tells beforehand."""
        return self.open_runs or self.callbacks or self.rollouts


NEXT_AT = (
    select(func.min(column("at")))
    .select_from(
        union_all(
            select(func.min(schedules.c.next_at).label("at")).where(schedules.c.paused.is_(False)),
            select(func.min(deliveries.c.next_at)).where(deliveries.c.state == "pending"),
            select(func.min(tasks.c.lease_until)).where(tasks.c.state == "claimed"),
        ).subquery()
    )
    .scalar_subquery()
)
NOW: BindParameter[float] = bindparam("now", type_=Double)
DUE = select(
    exists().where(backoff_over(NOW)),
    exists().where(run_overdue(NOW)),
    exists().where(schedule_due(NOW)),
    exists().where(OPEN_CHAIN),
    exists().where(lease_expired(NOW)),
    exists().where(delivery_due(NOW)) | exists().select_from(CALLBACKS_WITH_RUN).where(RUN_CHANGED),
    ROLLOUT_ACTIVE,
    exists().where(PUBLISHING),
    exists().where(runs.c.status.in_(OPEN_RUN)),
    NEXT_AT,
)


async def find_due_work(conn: AsyncConnection, now: float) -> DueWork:
    """In one question: most seconds nothing is."""
    *flags, next_at = (await conn.execute(DUE, {"now": now})).one()
    return DueWork._make([*map(bool, flags), next_at])
