"""Rows of apps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from libs.common.protocol.access import AppAccess
from services.scheduler.db.tables import apps, rollouts
from services.scheduler.model.app import App


async def get(conn: AsyncConnection, name: str) -> App | None:
    row = (await conn.execute(select(apps).where(apps.c.name == name))).mappings().first()
    return App(**{**row, "access": AppAccess.model_validate(row["access"])}) if row else None


async def get_live_commit(conn: AsyncConnection, name: str) -> tuple[str, str] | None:
    """The live deployment and its commit; None when no deployment is live."""
    row = (await conn.execute(select(apps.c.deployment, apps.c.commit).where(apps.c.name == name))).first()
    return (row.deployment, row.commit) if row and row.deployment else None


async def list_names(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(select(apps.c.name))).scalars())


async def list_platform_apps(conn: AsyncConnection) -> list[tuple[str, Mapping[str, Any] | None]]:
    """Every app with its PlatformApp manifest; None when the app has none."""
    return [(row.name, row.app) for row in await conn.execute(select(apps.c.name, apps.c.catalog["app"].label("app")))]


async def put(conn: AsyncConnection, name: str, columns: Mapping[str, Any]) -> None:
    """Update the columns of the app; inserts the row when it is missing."""
    statement = upsert(conn, apps).values(**{"name": name, "commit": "", "access": {}, **columns})
    await conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_=dict(columns) or {"name": name}))


async def remove(conn: AsyncConnection, name: str) -> None:
    await conn.execute(delete(apps).where(apps.c.name == name))
    await conn.execute(
        update(rollouts).where(rollouts.c.app == name, rollouts.c.status == "starting").values(status="superseded")
    )
