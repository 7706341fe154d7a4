"""Who may call which app, as one versioned feed: password verifiers, API keys, versions of secrets."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.registry.db import secrets, tokens
from services.registry.db.secrets import Secret
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
        "users": {
            name: await _users(c, app, known[name], declared)
            for name, declared in (await _passwords(c, app)).items()
            if name in known
        },
        "keys": {key.hash: key.username for key in await tokens.keys(c, app)},
        "secrets": {name: secret.version for name, secret in known.items()},
    }


async def _users(c: AsyncConnection, app: str, secret: Secret, declared: list[list[str] | None]) -> dict[str, str]:
    """A key that no declaration names lets nobody in, also when it was set before that could be known."""
    named = [secret.keys if keys is None else keys for keys in declared]
    found = await secrets.verifiers(c, app, secret.name)
    return {user: verifier for user, verifier in found.items() if any(not keys or user in keys for keys in named)}


async def _passwords(c: AsyncConnection, app: str) -> dict[str, list[list[str] | None]]:
    """Secrets that the live or a starting revision names as basic credentials; verifiers of others stay here.

    With the keys that each of these revisions declares; None when it leaves that to others.
    """
    query = select(revisions.c.passwords, revisions.c.catalog["secrets"].label("declared"))
    query = query.join(deployments, deployments.c.revision == revisions.c.id)
    query = query.where(deployments.c.app == app, deployments.c.status.in_(("live", "starting")))
    found: dict[str, list[list[str] | None]] = {}
    for passwords, declared in await c.execute(query):
        for name in passwords:
            found.setdefault(name, []).append((declared or {}).get(name))
    return dict(sorted(found.items()))
