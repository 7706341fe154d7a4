"""Who may call which app, as one versioned feed: password verifiers, API keys, versions of secrets."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.registry.db import secrets, tokens
from services.registry.db.tables import access, counters, deployments, revisions

COUNTER = "access"


async def bump(c: AsyncConnection, app: str, *, deleted: bool = False) -> None:
    """The app's access changed. Writers wait here for one another, so versions are committed in their order."""
    one = upsert(c, counters).values(name=COUNTER, value=1)
    grown = one.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1})
    version = (await c.execute(grown.returning(counters.c.value))).scalar_one()
    values = {"version": version, "deleted": deleted}
    row = upsert(c, access).values(app=app, **values)
    await c.execute(row.on_conflict_do_update(index_elements=["app"], set_=values))


async def feed(c: AsyncConnection, since: int) -> dict[str, Any]:
    """What changed after version `since`; everything when that version was never given out."""
    found = (await c.execute(select(counters.c.value).where(counters.c.name == COUNTER))).scalar()
    version = int(found or 0)
    after = since if since <= version else 0
    query = select(access.c.app, access.c.deleted).where(access.c.version > after)
    changed = (await c.execute(query)).all()
    return {"version": version, "apps": {app: None if deleted else await _app(c, app) for app, deleted in changed}}


async def _app(c: AsyncConnection, app: str) -> dict[str, Any]:
    known = await secrets.listed(c, app)
    return {
        "users": {name: await secrets.verifiers(c, app, name) for name in await _passwords(c, app) if name in known},
        "keys": {key.hash: key.username for key in await tokens.keys(c, app)},
        "secrets": {name: secret.version for name, secret in known.items()},
    }


async def _passwords(c: AsyncConnection, app: str) -> list[str]:
    """Secrets that the live or a starting revision names as basic credentials; verifiers of others stay here."""
    query = select(revisions.c.passwords).join(deployments, deployments.c.revision == revisions.c.id)
    query = query.where(deployments.c.app == app, deployments.c.status.in_(("live", "starting")))
    return sorted({name for names in (await c.execute(query)).scalars() for name in names})
