"""Rows of apps and repositories."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import RowMapping, bindparam, case, delete, func, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import DatabaseNow, upsert
from services.registry.apps import App, Repository
from services.registry.db.tables import apps, removals, repositories

SECONDS_UNTIL_POLL = select(func.min(repositories.c.polled_at + repositories.c.poll_interval) - DatabaseNow())
"""Seconds until the next poll is due, negative when overdue; NULL without a repository."""
LOCK = select(apps.c.name).where(apps.c.name == bindparam("app_name")).with_for_update()
GET_REPOSITORY = select(repositories).where(repositories.c.app == bindparam("app_name"))


async def get(conn: AsyncConnection, name: str, *, lock: bool = False) -> App | None:
    """With `lock`, takes the app's row lock until the transaction ends."""
    query = select(apps).where(apps.c.name == name)
    row = (await conn.execute(query.with_for_update() if lock else query)).mappings().first()
    return _to_app(row) if row else None


async def lock(conn: AsyncConnection, name: str) -> None:
    """Take the app's row lock until the transaction ends. Of SQLite's transactions only one writes at a time."""
    if conn.dialect.name != "sqlite":
        await conn.execute(LOCK, {"app_name": name})


async def list_apps(conn: AsyncConnection) -> list[App]:
    return [_to_app(row) for row in (await conn.execute(select(apps).order_by(apps.c.name))).mappings()]


def _to_app(row: RowMapping) -> App:
    return App(**{**row, "owners": tuple(row["owners"])})


async def add(conn: AsyncConnection, app: App, now: float) -> None:
    await conn.execute(insert(apps).values(name=app.name, created_at=now, **app.declared_fields()))


async def add_if_missing(conn: AsyncConnection, app: App, now: float) -> bool:
    """Whether it was added. Waits for a transaction that adds or removes an app of the name."""
    values = {"name": app.name, "created_at": now, **app.declared_fields()}
    return bool((await conn.execute(upsert(conn, apps).values(**values).on_conflict_do_nothing())).rowcount)


async def drop(conn: AsyncConnection, name: str) -> None:
    """Take back `add_if_missing`: nobody has seen the app."""
    await conn.execute(delete(apps).where(apps.c.name == name))


async def update_app(conn: AsyncConnection, app: App) -> None:
    await conn.execute(update(apps).where(apps.c.name == app.name).values(**app.declared_fields()))


async def remove(conn: AsyncConnection, name: str, now: float) -> bool:
    """Whether it existed. Adds a removal, which the scheduler still has to confirm."""
    deleted = (await conn.execute(delete(apps).where(apps.c.name == name))).rowcount > 0
    if deleted:
        await conn.execute(upsert(conn, removals).values(app=name, removed_at=now).on_conflict_do_nothing())
    return deleted


async def list_removing(conn: AsyncConnection) -> list[str]:
    """Apps that are deleted here and not yet by the scheduler."""
    return list((await conn.execute(select(removals.c.app).order_by(removals.c.removed_at))).scalars())


async def finish_removal(conn: AsyncConnection, name: str) -> None:
    await conn.execute(delete(removals).where(removals.c.app == name))


async def get_repository(conn: AsyncConnection, app: str) -> Repository | None:
    row = (await conn.execute(GET_REPOSITORY, {"app_name": app})).mappings().first()
    return Repository(**row) if row else None


async def list_poll_errors(conn: AsyncConnection) -> dict[str, str]:
    """Errors of the last poll, by app."""
    query = select(repositories.c.app, repositories.c.poll_error).where(repositories.c.poll_error.is_not(None))
    return {row.app: row.poll_error for row in await conn.execute(query)}


async def put_repository(conn: AsyncConnection, repository: Repository) -> None:
    """Insert or replace; forgets the head of the previous repository."""
    values: dict[str, object] = {
        **repository.declared_fields(),
        "encrypted_webhook_secret": repository.encrypted_webhook_secret,
        "delivery_forge": repository.delivery_forge,
        "head": None,
    }
    values |= {"abandoned_head": None, "poll_error": None, "polled_at": repository.polled_at}
    values |= {"status_error": None, "refused_secret": None}
    statement = upsert(conn, repositories).values(app=repository.app, **values)
    await conn.execute(statement.on_conflict_do_update(index_elements=["app"], set_=values))


async def seconds_until_poll(conn: AsyncConnection) -> float | None:
    """As `SECONDS_UNTIL_POLL`."""
    return cast(float | None, (await conn.execute(SECONDS_UNTIL_POLL)).scalar_one())


async def claim_due_polls(conn: AsyncConnection, now: float) -> list[Repository]:
    """Repositories whose poll is due; for other replicas they are polled from now on."""
    is_due = repositories.c.polled_at + repositories.c.poll_interval <= now
    claimed = update(repositories).where(is_due).values(polled_at=now).returning(*repositories.c)
    return [Repository(**row) for row in (await conn.execute(claimed)).mappings()]


async def record_head(conn: AsyncConnection, app: str, head: str) -> None:
    """Store the branch's head. An abandoned head stays abandoned until the branch moves."""
    abandoned = case((repositories.c.abandoned_head == head, head), else_=null())
    await update_repository(conn, app, head=head, abandoned_head=abandoned, poll_error=None)


async def abandon_head(conn: AsyncConnection, app: str, head: str | None) -> None:
    """Mark the branch's `head`, or the last known one, as abandoned by a rollback."""
    abandoned = repositories.c.head if head is None else head
    await update_repository(conn, app, head=abandoned, abandoned_head=abandoned)


async def update_repository(conn: AsyncConnection, app: str, **columns: Any) -> None:
    """Set columns that no manifest declares, such as `head` or `poll_error`."""
    await conn.execute(update(repositories).where(repositories.c.app == app).values(**columns))
