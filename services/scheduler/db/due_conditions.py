"""Due predicates: one condition for each kind of timed work, for its query and for the check whether there is any."""

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

from services.scheduler.db.tables import autoscaling, callbacks, deliveries, rollouts, runs, schedules, tasks

OPEN_RUN = ("queued", "running", "canceling")

Condition = ColumnElement[bool]
Time = float | BindParameter[float]
OPEN_CHAIN: Condition = and_(runs.c.status.in_(OPEN_RUN), runs.c.chain == runs.c.id)
"""The first run of a chain whose status is not final."""
CALLBACKS_WITH_RUN = callbacks.join(runs, runs.c.id == callbacks.c.run)
RUN_CHANGED: Condition = and_(callbacks.c.open, runs.c.version > callbacks.c.checked_version)
"""Of `CALLBACKS_WITH_RUN`: an open callback whose run has a newer version than the one checked last."""
PUBLISHING: Condition = and_(tasks.c.kind == "stage", tasks.c.state == "publishing")
ROLLOUT_ACTIVE: Condition = (
    exists().where(rollouts.c.status == "starting")
    | exists().where(rollouts.c.reported.is_(False))
    | exists().where(tasks.c.kind == "instance", tasks.c.state == "waiting")
)
"""A rollout that is active or not yet reported to the registry, or an instance that waits for its model."""


def backoff_over(now: Time) -> Condition:
    """A waiting task whose back-off is over."""
    return and_(tasks.c.state == "waiting", tasks.c.not_before <= now)


def lease_expired(now: Time) -> Condition:
    """A claimed task whose lease has expired."""
    return and_(tasks.c.state == "claimed", tasks.c.lease_until < now)


def run_overdue(now: Time) -> Condition:
    """A run that has not started, or not finished, before its deadline."""
    return and_(runs.c.status.in_(("queued", "running")), runs.c.deadline < now)


def schedule_due(now: Time) -> Condition:
    return and_(schedules.c.paused.is_(False), schedules.c.next_at <= now)


def delivery_due(now: Time) -> Condition:
    return and_(deliveries.c.state == "pending", deliveries.c.next_at <= now)


class DueWork(NamedTuple):
    """Whether there is any due work, by kind."""

    backoffs: bool
    overdue_runs: bool
    schedules: bool
    chains: bool
    expired_leases: bool
    callbacks: bool
    """Deliveries that are due, or callbacks whose run has changed."""
    rollouts: bool
    publications: bool
    """Stages whose outputs are to be published."""
    ready: bool
    """Tasks that no worker has claimed yet."""
    scaling: bool
    """Components whose number of instances follows their load."""
    open_runs: bool
    """Runs whose status is not final."""
    next_at: float | None
    """Epoch seconds at which the next schedule, delivery or lease expiry is due."""

    @property
    def is_busy(self) -> bool:
        """Whether work may become due at a time that `next_at` does not contain."""
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
    exists().where(tasks.c.state == "ready"),
    exists().select_from(autoscaling),
    exists().where(runs.c.status.in_(OPEN_RUN)),
    NEXT_AT,
)


async def find_due_work(conn: AsyncConnection, now: float) -> DueWork:
    """One statement for all kinds: usually nothing is due."""
    *flags, next_at = (await conn.execute(DUE, {"now": now})).one()
    return DueWork._make([*map(bool, flags), next_at])
