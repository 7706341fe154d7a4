"""Rows of apps, rollouts and the routing table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.scheduler.db.tables import apps, counters, rollouts, routes
from services.scheduler.model.state import App, Rollout


async def get(conn: AsyncConnection, name: str) -> App | None:
    row = (await conn.execute(select(apps).where(apps.c.name == name))).mappings().first()
    return App(**row) if row else None


async def get_live_commit(conn: AsyncConnection, name: str) -> tuple[str, str] | None:
    """The live deployment and its commit."""
    row = (await conn.execute(select(apps.c.deployment, apps.c.commit).where(apps.c.name == name))).first()
    return (row.deployment, row.commit) if row and row.deployment else None


async def list_names(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(select(apps.c.name))).scalars())


async def list_platform_apps(conn: AsyncConnection) -> list[tuple[str, dict[str, Any] | None]]:
    """Every app with its PlatformApp, where it has one."""
    return [(row.name, row.app) for row in await conn.execute(select(apps.c.name, apps.c.catalog["app"].label("app")))]


async def put(conn: AsyncConnection, name: str, columns: Mapping[str, Any]) -> None:
    """Change the app's columns, making the row if there is none."""
    statement = upsert(conn, apps).values(**{"name": name, "commit": "", "access": {}, **columns})
    await conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_=dict(columns) or {"name": name}))


async def remove(conn: AsyncConnection, name: str) -> None:
    await conn.execute(delete(apps).where(apps.c.name == name))
    await conn.execute(
        update(rollouts).where(rollouts.c.app == name, rollouts.c.status == "starting").values(status="superseded")
    )


async def add_rollout(conn: AsyncConnection, rollout: Rollout) -> bool:
    """Whether it is new."""
    statement = upsert(conn, rollouts).values(**rollout.__dict__).on_conflict_do_nothing(index_elements=["deployment"])
    return bool((await conn.execute(statement)).rowcount)


async def list_active_rollouts(conn: AsyncConnection, app: str | None = None) -> list[Rollout]:
    """Rollouts that have not ended, oldest first."""
    query = (
        select(rollouts).where(rollouts.c.status == "starting").order_by(rollouts.c.created_at, rollouts.c.deployment)
    )
    if app is not None:
        query = query.where(rollouts.c.app == app)
    return [Rollout(**row) for row in (await conn.execute(query)).mappings()]


async def list_unreported_rollouts(conn: AsyncConnection) -> list[Rollout]:
    query = select(rollouts).where(rollouts.c.reported.is_(False)).order_by(rollouts.c.created_at)
    return [Rollout(**row) for row in (await conn.execute(query)).mappings()]


async def update_rollout(conn: AsyncConnection, deployment: str, columns: Mapping[str, Any]) -> None:
    await conn.execute(update(rollouts).where(rollouts.c.deployment == deployment).values(**columns))


async def mark_rollout_reported(conn: AsyncConnection, rollout: Rollout) -> None:
    """Mark it told, unless it changed since `rollout` was read."""
    conditions = (rollouts.c.deployment == rollout.deployment, rollouts.c.status == rollout.status)
    row = (await conn.execute(select(rollouts.c.steps).where(*conditions).with_for_update())).first()
    if row is not None and row[0] == rollout.steps:
        await conn.execute(update(rollouts).where(*conditions).values(reported=True))


async def get_counter(conn: AsyncConnection, name: str) -> int:
    value = (await conn.execute(select(counters.c.value).where(counters.c.name == name))).scalar()
    return int(value or 0)


async def set_counter(conn: AsyncConnection, name: str, value: int) -> None:
    statement = upsert(conn, counters).values(name=name, value=value)
    await conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


async def _increment_version(conn: AsyncConnection) -> int:
    """Locks the counter until the transaction ends, so that versions become visible in order."""
    statement = upsert(conn, counters).values(name="table", value=1)
    incremented = statement.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1})
    return int((await conn.execute(incremented.returning(counters.c.value))).scalar_one())


async def lock_route_table(conn: AsyncConnection) -> None:
    """Until the transaction ends nobody else changes the table."""
    await conn.execute(select(counters.c.value).where(counters.c.name == "table").with_for_update())


async def get_app_routes(conn: AsyncConnection, app: str) -> dict[str, Any]:
    """The app's part of the table; empty when it has none."""
    return (await conn.execute(select(routes.c.document).where(routes.c.app == app))).scalar() or {}


async def save_app_routes(conn: AsyncConnection, app: str, document: dict[str, Any] | None) -> bool:
    """Whether the table changed by it."""
    stored = (await conn.execute(select(routes.c.document).where(routes.c.app == app))).first()
    if (stored is None and document is None) or (stored is not None and stored[0] == document):
        return False
    values = {"version": await _increment_version(conn), "document": document}
    statement = upsert(conn, routes).values(app=app, **values)
    await conn.execute(statement.on_conflict_do_update(index_elements=["app"], set_=values))
    return True


async def list_routes_since(conn: AsyncConnection, since: int) -> tuple[int, dict[str, Any]]:
    """The version of the table and the documents that changed after `since` (None: the app is gone)."""
    version = await get_counter(conn, "table")
    rows = await conn.execute(select(routes.c.app, routes.c.document).where(routes.c.version > since))
    return version, {row.app: row.document for row in rows}
