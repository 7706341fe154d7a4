"""The route table by app, as rows: one document for each app, with the version that wrote it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from libs.common.protocol.route_table import AppRoutes
from services.scheduler.db.tables import counters, routes
from services.scheduler.db.version_counters import get_counter, increment_counter


async def lock_route_table(conn: AsyncConnection) -> None:
    """Serialize changes of the route table until the transaction ends."""
    await conn.execute(select(counters.c.value).where(counters.c.name == "table").with_for_update())


async def get_app_routes(conn: AsyncConnection, app: str) -> AppRoutes:
    """The routes of one app; empty when it has none."""
    document = (await conn.execute(select(routes.c.document).where(routes.c.app == app))).scalar()
    return AppRoutes.model_validate(document or {})


async def save_app_routes(conn: AsyncConnection, app: str, app_routes: AppRoutes | None) -> bool:
    """Save the routes under a new version of the table; False when they have not changed."""
    document = None if app_routes is None else app_routes.to_json()
    stored = (await conn.execute(select(routes.c.document).where(routes.c.app == app))).first()
    if (stored is None and document is None) or (stored is not None and stored[0] == document):
        return False
    values = {"version": await increment_counter(conn, "table"), "document": document}
    statement = upsert(conn, routes).values(app=app, **values)
    await conn.execute(statement.on_conflict_do_update(index_elements=["app"], set_=values))
    return True


async def list_routes_since(conn: AsyncConnection, since: int) -> tuple[int, dict[str, dict[str, Any] | None]]:
    """The table's version, and the stored `AppRoutes` of each app that changed after version `since`.

    None for a removed app.
    """
    version = await get_counter(conn, "table")
    rows = await conn.execute(select(routes.c.app, routes.c.document).where(routes.c.version > since))
    return version, {row.app: row.document for row in rows}
