"""Claiming a task: the row of the task, and the row of the attempt that the claim begins."""

from __future__ import annotations

from sqlalchemy import Double, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db.tables import attempts, tasks
from services.scheduler.db.task_rows import task_from_row
from services.scheduler.db.task_run_cache import TaskRunCache
from services.scheduler.model.task import Task

NOW = bindparam("now", type_=Double)
CLAIM = (
    update(tasks)
    .where(tasks.c.id == bindparam("task_id"), tasks.c.state == "ready", tasks.c.stop_requested.is_(False))
    .values(
        state="claimed",
        worker=bindparam("worker_name"),
        token=tasks.c.token + 1,
        attempt=tasks.c.attempt + 1,
        lease_until=bindparam("until"),
        phase="claimed",
        reason=None,
        detail=None,
        progress=None,
        started_at=func.coalesce(tasks.c.started_at, NOW),
    )
    .returning(tasks)
)
_CLAIMED = CLAIM.cte("claimed")
ATTEMPT_COLUMNS = ("task", "token", "attempt", "worker", "started_at")
_ATTEMPT = insert(attempts).from_select(
    ATTEMPT_COLUMNS, select(_CLAIMED.c.id, _CLAIMED.c.token, _CLAIMED.c.attempt, _CLAIMED.c.worker, NOW)
)
CLAIM_WITH_ATTEMPT = select(_CLAIMED).add_cte(_ATTEMPT.cte("begun"))
"""Both in one statement, for PostgreSQL: SQLite writes in no part of another statement."""


async def claim_task(conn: AsyncConnection, task: str, worker: str, now: float, lease: float) -> Task | None:
    """Claim a ready task for a worker, with a new token and attempt; None when it is not ready any more."""
    params = {"task_id": task, "worker_name": worker, "until": now + lease, "now": now}
    is_sqlite = conn.dialect.name == "sqlite"
    row = (await conn.execute(CLAIM if is_sqlite else CLAIM_WITH_ATTEMPT, params)).mappings().first()
    if row is None:
        return None
    claimed = task_from_row(row)
    TaskRunCache.for_connection(conn).put(task, (claimed.app, claimed.run))
    if is_sqlite:
        attempt = (task, claimed.token, claimed.attempt, worker, now)
        await conn.execute(insert(attempts), [dict(zip(ATTEMPT_COLUMNS, attempt, strict=True))])
    return claimed
