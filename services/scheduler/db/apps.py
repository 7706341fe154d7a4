"""Rows of apps, rollouts and the routing table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.scheduler.db.tables import apps, counters, rollouts, routes
from services.scheduler.model.state import App, Rollout


async def get(c: AsyncConnection, name: str) -> App | None:
    row = (await c.execute(select(apps).where(apps.c.name == name))).mappings().first()
    return App(**row) if row else None


async def head(c: AsyncConnection, name: str) -> tuple[str, str] | None:
    """The live deployment and its commit."""
    row = (await c.execute(select(apps.c.deployment, apps.c.commit).where(apps.c.name == name))).first()
    return (row.deployment, row.commit) if row and row.deployment else None


async def names(c: AsyncConnection) -> list[str]:
    return list((await c.execute(select(apps.c.name))).scalars())


async def manifests(c: AsyncConnection) -> list[tuple[str, dict[str, Any] | None]]:
    """Every app with its PlatformApp, where it has one."""
    return [(row.name, row.app) for row in await c.execute(select(apps.c.name, apps.c.catalog["app"].label("app")))]


async def put(c: AsyncConnection, name: str, columns: Mapping[str, Any]) -> None:
    """Change the app's columns, making the row if there is none."""
    added = upsert(c, apps).values(**{"name": name, "commit": "", "access": {}, **columns})
    await c.execute(added.on_conflict_do_update(index_elements=["name"], set_=dict(columns) or {"name": name}))


async def remove(c: AsyncConnection, name: str) -> None:
    await c.execute(delete(apps).where(apps.c.name == name))
    await c.execute(
        update(rollouts).where(rollouts.c.app == name, rollouts.c.status == "starting").values(status="superseded")
    )


async def add_rollout(c: AsyncConnection, rollout: Rollout) -> bool:
    """Whether it is new."""
    added = upsert(c, rollouts).values(**rollout.__dict__).on_conflict_do_nothing(index_elements=["deployment"])
    return bool((await c.execute(added)).rowcount)


async def starting(c: AsyncConnection, app: str | None = None) -> list[Rollout]:
    """Rollouts that have not ended, oldest first."""
    query = (
        select(rollouts).where(rollouts.c.status == "starting").order_by(rollouts.c.created_at, rollouts.c.deployment)
    )
    if app is not None:
        query = query.where(rollouts.c.app == app)
    return [Rollout(**row) for row in (await c.execute(query)).mappings()]


async def unreported(c: AsyncConnection) -> list[Rollout]:
    query = select(rollouts).where(rollouts.c.reported.is_(False)).order_by(rollouts.c.created_at)
    return [Rollout(**row) for row in (await c.execute(query)).mappings()]


async def change_rollout(c: AsyncConnection, deployment: str, columns: Mapping[str, Any]) -> None:
    await c.execute(update(rollouts).where(rollouts.c.deployment == deployment).values(**columns))


async def reported(c: AsyncConnection, rollout: Rollout) -> None:
    """Mark it told, unless it changed since `rollout` was read."""
    same = (rollouts.c.deployment == rollout.deployment, rollouts.c.status == rollout.status)
    row = (await c.execute(select(rollouts.c.steps).where(*same).with_for_update())).first()
    if row is not None and row[0] == rollout.steps:
        await c.execute(update(rollouts).where(*same).values(reported=True))


async def counter(c: AsyncConnection, name: str) -> int:
    found = (await c.execute(select(counters.c.value).where(counters.c.name == name))).scalar()
    return int(found or 0)


async def set_counter(c: AsyncConnection, name: str, value: int) -> None:
    added = upsert(c, counters).values(name=name, value=value)
    await c.execute(added.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


async def _next_version(c: AsyncConnection) -> int:
    """Locks the counter until the transaction ends, so that versions become visible in order."""
    added = upsert(c, counters).values(name="table", value=1)
    raised = added.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1})
    return int((await c.execute(raised.returning(counters.c.value))).scalar_one())


async def lock_table(c: AsyncConnection) -> None:
    """Until the transaction ends nobody else changes the table."""
    await c.execute(select(counters.c.value).where(counters.c.name == "table").with_for_update())


async def document(c: AsyncConnection, app: str) -> dict[str, Any]:
    """The app's part of the table; empty when it has none."""
    return (await c.execute(select(routes.c.document).where(routes.c.app == app))).scalar() or {}


async def put_document(c: AsyncConnection, app: str, document: dict[str, Any] | None) -> bool:
    """Whether the table changed by it."""
    before = (await c.execute(select(routes.c.document).where(routes.c.app == app))).first()
    if (before is None and document is None) or (before is not None and before[0] == document):
        return False
    values = {"version": await _next_version(c), "document": document}
    added = upsert(c, routes).values(app=app, **values)
    await c.execute(added.on_conflict_do_update(index_elements=["app"], set_=values))
    return True


async def table(c: AsyncConnection, since: int) -> tuple[int, dict[str, Any]]:
    """The version of the table and the documents that changed after `since` (None: the app is gone)."""
    version = await counter(c, "table")
    rows = await c.execute(select(routes.c.app, routes.c.document).where(routes.c.version > since))
    return version, {row.app: row.document for row in rows}
