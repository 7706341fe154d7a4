"""Rows of commit statuses: an outbox with one row a commit, which holds the newest status that is to be sent."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import cast

from sqlalchemy import ColumnElement, case, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import DatabaseNow
from services.registry.checks.problems import DeploymentErrorJson
from services.registry.db import apps, deployments
from services.registry.db.tables import commit_statuses
from services.registry.deployments.commit_status import DeploymentStatus, Progress, describe_deployment
from services.registry.deployments.state import Deployment
from services.registry.forges.commit_status import CommitState

MIN_STEP_S = 2.0
"""Between two statuses of a commit, unless the later one is final."""
CLAIM_S = 30.0
"""A replica that sends a status must have ended by then; another one sends it again."""
RETENTION_S = 7 * 24 * 3600.0
UNSENT = commit_statuses.c.version > commit_statuses.c.sent_version
DUE_AT = case(
    (commit_statuses.c.claimed_until > commit_statuses.c.next_at, commit_statuses.c.claimed_until),
    else_=commit_statuses.c.next_at,
)
SECONDS_UNTIL_DUE = select(func.min(DUE_AT) - DatabaseNow()).where(UNSENT)
"""Seconds until the next one is due, negative when overdue; NULL when all are sent."""


@dataclass(frozen=True)
class OutgoingStatus:
    """`tries` and `failing_since` are of the tries before this one."""

    app: str
    commit_id: str
    deployment: str
    state: str
    description: str
    version: int
    tries: int
    failing_since: float | None


OUTGOING = [commit_statuses.c[name] for name in OutgoingStatus.__dataclass_fields__]


async def record(
    conn: AsyncConnection, app: str, deployment: str, now: float, progress: Progress | None = None
) -> None:
    """Write what the forge is to be told of this deployment, and of those that it may have superseded.

    The caller holds the app's row lock. `progress` is of the instances that the deployment starts.
    """
    repository = await apps.get_repository(conn, app)
    if repository is None or not repository.may_send_statuses:
        return
    for other in await _list_unsettled(conn, app):
        if other != deployment:
            await _describe(conn, other, now)
    await _describe(conn, deployment, now, progress)


async def _list_unsettled(conn: AsyncConnection, app: str) -> list[str]:
    """Deployments of which the forge knows no end."""
    states = [state for state in CommitState if not state.is_final]
    query = select(commit_statuses.c.deployment).where(
        commit_statuses.c.app == app, commit_statuses.c.state.in_(states)
    )
    return list((await conn.execute(query)).scalars())


async def _describe(conn: AsyncConnection, deployment_id: str, now: float, progress: Progress | None = None) -> None:
    deployment = await deployments.get(conn, deployment_id)
    status = describe_deployment(deployment, progress) if deployment is not None else None
    if deployment is not None and status is not None:
        await _put(conn, deployment, status, now)


async def _put(conn: AsyncConnection, deployment: Deployment, status: DeploymentStatus, now: float) -> None:
    row = _row_of(deployment.app, deployment.commit_id or "")
    current = (await conn.execute(select(commit_statuses).where(row))).mappings().first()
    values: dict[str, object] = {"deployment": deployment.id, "state": status.state, "description": status.description}
    if current is None:
        await _insert(conn, deployment, values, now)
    elif current["seq"] <= deployment.seq and any(current[name] != value for name, value in values.items()):
        values |= {"seq": deployment.seq, "version": commit_statuses.c.version + 1, "changed_at": now}
        values["next_at"] = _next_time(status.state, now)
        await conn.execute(update(commit_statuses).where(row).values(**values))


async def _insert(conn: AsyncConnection, deployment: Deployment, values: dict[str, object], now: float) -> None:
    old = (commit_statuses.c.app == deployment.app) & (commit_statuses.c.changed_at < now - RETENTION_S)
    await conn.execute(delete(commit_statuses).where(old))
    values |= {"app": deployment.app, "commit_id": deployment.commit_id, "seq": deployment.seq, "changed_at": now}
    values |= {"version": 1, "sent_version": 0, "sent_at": 0.0, "next_at": now, "claimed_until": 0.0, "tries": 0}
    await conn.execute(insert(commit_statuses).values(**values))


def _next_time(state: CommitState, now: float) -> ColumnElement[float]:
    """A forge that failed is not asked earlier because of a change."""
    step = commit_statuses.c.sent_at + MIN_STEP_S
    soonest = now if state.is_final else case((step > now, step), else_=now)
    return case((commit_statuses.c.tries > 0, commit_statuses.c.next_at), else_=soonest)


async def seconds_until_due(conn: AsyncConnection) -> float | None:
    """As `SECONDS_UNTIL_DUE`."""
    return cast(float | None, (await conn.execute(SECONDS_UNTIL_DUE)).scalar_one())


async def list_due_apps(conn: AsyncConnection, now: float) -> dict[str, bool]:
    """Apps with a status that is due, and whether their forge failed when it was last told of one of these."""
    query = select(commit_statuses.c.app, func.max(commit_statuses.c.tries)).where(_is_due(now))
    rows = (await conn.execute(query.group_by(commit_statuses.c.app))).all()
    return {app: tries > 0 for app, tries in rows}


async def claim(conn: AsyncConnection, app: str, now: float) -> OutgoingStatus | None:
    """One of the app's statuses that are due, claimed for CLAIM_S; None when none is.

    The newest commit comes first, and one that was just tried last: a forge that never takes it would get no other.
    """
    query = select(*OUTGOING).where(_is_due(now), commit_statuses.c.app == app)
    query = query.order_by(commit_statuses.c.sent_at, commit_statuses.c.seq.desc()).limit(1)
    row = (await conn.execute(query)).mappings().first()
    if row is None:
        return None
    status = OutgoingStatus(**row)
    unchanged = _row_of(app, status.commit_id) & (commit_statuses.c.version == status.version) & _is_due(now)
    claimed = update(commit_statuses).where(unchanged).values(claimed_until=now + CLAIM_S, sent_at=now)
    return status if (await conn.execute(claimed)).rowcount > 0 else None


async def finish(conn: AsyncConnection, status: OutgoingStatus) -> None:
    """It was sent, or is not to be sent. What changed meanwhile is sent next."""
    columns = {"sent_version": status.version, "claimed_until": 0.0, "tries": 0, "failing_since": None}
    row = _row_of(status.app, status.commit_id) & (commit_statuses.c.sent_version < status.version)
    await conn.execute(update(commit_statuses).where(row).values(**columns))


async def retry_at(conn: AsyncConnection, status: OutgoingStatus, time: float, failing_since: float) -> None:
    """Send it again at `time`, and nothing else of what waits for the same forge earlier."""
    columns = {"next_at": time, "claimed_until": 0.0, "tries": status.tries + 1, "failing_since": failing_since}
    row = _row_of(status.app, status.commit_id)
    await conn.execute(update(commit_statuses).where(row).values(**columns))
    waiting = (commit_statuses.c.app == status.app) & ~row & UNSENT & (commit_statuses.c.claimed_until == 0.0)
    postponed = update(commit_statuses).where(waiting, commit_statuses.c.next_at < time)
    since = func.coalesce(commit_statuses.c.failing_since, failing_since)
    tries = case((commit_statuses.c.tries > columns["tries"], commit_statuses.c.tries), else_=columns["tries"])
    await conn.execute(postponed.values(next_at=time, tries=tries, failing_since=since))


async def give_up(conn: AsyncConnection, app: str, failing_since: float) -> None:
    """Leave out what the app's forge has not taken since then, or longer."""
    failed = (commit_statuses.c.app == app) & UNSENT & (commit_statuses.c.failing_since <= failing_since)
    columns = {"sent_version": commit_statuses.c.version, "tries": 0, "failing_since": None}
    await conn.execute(update(commit_statuses).where(failed).values(**columns))


async def claim_errors(conn: AsyncConnection, status: OutgoingStatus) -> list[DeploymentErrorJson]:
    """The deployment's errors that have a place, for one caller only: they are told once, or not at all."""
    deployment = await deployments.get(conn, status.deployment)
    errors = [error for error in deployment.errors if error["line"] is not None] if deployment is not None else []
    digest = hashlib.sha256(json.dumps(errors, sort_keys=True).encode()).hexdigest()
    untold = _row_of(status.app, status.commit_id) & commit_statuses.c.annotated.is_distinct_from(digest)
    claimed = update(commit_statuses).where(untold).values(annotated=digest)
    return errors if (await conn.execute(claimed)).rowcount > 0 else []


def _row_of(app: str, commit: str) -> ColumnElement[bool]:
    return (commit_statuses.c.app == app) & (commit_statuses.c.commit_id == commit)


def _is_due(now: float) -> ColumnElement[bool]:
    return UNSENT & (commit_statuses.c.next_at <= now) & (commit_statuses.c.claimed_until <= now)
