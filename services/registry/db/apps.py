"""Rows of apps and repositories."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import RowMapping, case, delete, func, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import now, upsert
from services.registry.apps import App, Repository
from services.registry.db.tables import apps, removals, repositories


async def get(c: AsyncConnection, name: str, *, lock: bool = False) -> App | None:
    """With `lock`, decisions about the app wait for one another until the transaction ends."""
    query = select(apps).where(apps.c.name == name)
    row = (await c.execute(query.with_for_update() if lock else query)).mappings().first()
    return _app(row) if row else None


async def listed(c: AsyncConnection) -> list[App]:
    return [_app(row) for row in (await c.execute(select(apps).order_by(apps.c.name))).mappings()]


def _app(row: RowMapping) -> App:
    return App(**{**row, "owners": tuple(row["owners"])})


async def add(c: AsyncConnection, app: App, now: float) -> None:
    await c.execute(insert(apps).values(name=app.name, created_at=now, **app.declared()))


async def change(c: AsyncConnection, app: App) -> None:
    await c.execute(update(apps).where(apps.c.name == app.name).values(**app.declared()))


async def remove(c: AsyncConnection, name: str, now: float) -> bool:
    """Whether there was one. What the scheduler still has of it is remembered as a removal."""
    gone = (await c.execute(delete(apps).where(apps.c.name == name))).rowcount > 0
    if gone:
        await c.execute(upsert(c, removals).values(app=name, since=now).on_conflict_do_nothing())
    return gone


async def removing(c: AsyncConnection) -> list[str]:
    """Apps that are deleted here and not yet at the scheduler."""
    return list((await c.execute(select(removals.c.app).order_by(removals.c.since))).scalars())


async def removed(c: AsyncConnection, name: str) -> None:
    await c.execute(delete(removals).where(removals.c.app == name))


async def repository(c: AsyncConnection, app: str) -> Repository | None:
    row = (await c.execute(select(repositories).where(repositories.c.app == app))).mappings().first()
    return Repository(**row) if row else None


async def poll_errors(c: AsyncConnection) -> dict[str, str]:
    """What is wrong with repositories, by their apps."""
    query = select(repositories.c.app, repositories.c.poll_error).where(repositories.c.poll_error.is_not(None))
    return {row.app: row.poll_error for row in await c.execute(query)}


async def put_repository(c: AsyncConnection, found: Repository) -> None:
    """Make or change it; a changed one has seen no head yet."""
    values: dict[str, Any] = {**found.declared(), "webhook_sealed": found.webhook_sealed, "head": None}
    values |= {"abandoned": None, "poll_error": None, "polled_at": found.polled_at}
    added = upsert(c, repositories).values(app=found.app, **values)
    await c.execute(added.on_conflict_do_update(index_elements=["app"], set_=values))


async def until_due(c: AsyncConnection) -> float | None:
    """Seconds until the next poll interval is over, negative when one is; None without a repository."""
    first = func.min(repositories.c.polled_at + repositories.c.poll_interval)
    return cast(float | None, (await c.execute(select(first - now()))).scalar_one())


async def due(c: AsyncConnection, now: float) -> list[Repository]:
    """Repositories whose poll interval is over."""
    query = select(repositories).where(repositories.c.polled_at + repositories.c.poll_interval <= now)
    return [Repository(**row) for row in (await c.execute(query)).mappings()]


async def take_turn(c: AsyncConnection, found: Repository, now: float) -> bool:
    """Whether this poll is ours: of several replicas one gets it."""
    mine = (repositories.c.app == found.app) & (repositories.c.polled_at == found.polled_at)
    return (await c.execute(update(repositories).where(mine).values(polled_at=now))).rowcount > 0


async def saw_head(c: AsyncConnection, app: str, head: str) -> None:
    """Git said what the branch's head is. A head that a rollback left is left until the branch is elsewhere."""
    stays = case((repositories.c.abandoned == head, head), else_=null())
    await saw(c, app, head=head, abandoned=stays, poll_error=None)


async def leave_head(c: AsyncConnection, app: str, head: str | None) -> None:
    """A rollback leaves the branch's `head`, or the one that was seen last."""
    left = repositories.c.head if head is None else head
    await saw(c, app, head=left, abandoned=left)


async def saw(c: AsyncConnection, app: str, **columns: Any) -> None:
    """Remember what Git said: `head`, `abandoned`, `poll_error`."""
    await c.execute(update(repositories).where(repositories.c.app == app).values(**columns))
