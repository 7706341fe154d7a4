"""A versioned feed of access to apps: password verifiers, API keys, versions of secrets."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from libs.common.protocol.access import AccessFeed, AppAccess
from services.registry.db import secrets, tokens
from services.registry.db.secrets import Secret
from services.registry.db.tables import access, counters, deployments, revisions

COUNTER_NAME = "access"


async def record_change(conn: AsyncConnection, app: str, *, deleted: bool = False) -> None:
    """Give the app the next version. The row lock on the counter makes versions commit in order."""
    counter = upsert(conn, counters).values(name=COUNTER_NAME, value=1)
    increment = counter.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1})
    version = (await conn.execute(increment.returning(counters.c.value))).scalar_one()
    values = {"version": version, "deleted": deleted}
    row = upsert(conn, access).values(app=app, **values)
    await conn.execute(row.on_conflict_do_update(index_elements=["app"], set_=values))


async def list_changes(conn: AsyncConnection, since: int) -> AccessFeed:
    """Apps that changed after version `since`; all of them when that version does not exist (another database)."""
    stored = (await conn.execute(select(counters.c.value).where(counters.c.name == COUNTER_NAME))).scalar()
    version = int(stored or 0)
    base_version = since if since <= version else 0
    query = select(access.c.app, access.c.deleted).where(access.c.version > base_version)
    changed = (await conn.execute(query)).all()
    access_by_app = {app: None if deleted else await _load_access(conn, app) for app, deleted in changed}
    return AccessFeed(version=version, apps=access_by_app)


async def _load_access(conn: AsyncConnection, app: str) -> AppAccess:
    stored = await secrets.list_secrets(conn, app)
    users = {
        name: await _load_verifiers(conn, app, stored[name], declared)
        for name, declared in (await _load_password_secrets(conn, app)).items()
        if name in stored
    }
    keys = {key.hash: key.username for key in await tokens.list_keys(conn, app)}
    return AppAccess(users=users, keys=keys, secrets={name: secret.version for name, secret in stored.items()})


async def _load_verifiers(
    conn: AsyncConnection, app: str, secret: Secret, declared: list[list[str] | None]
) -> dict[str, str]:
    """Only declared keys are users, including keys that were set before the declaration was read."""
    declared_keys = [secret.keys if keys is None else keys for keys in declared]
    verifiers = await secrets.get_verifiers(conn, app, secret.name)
    return {
        user: verifier
        for user, verifier in verifiers.items()
        if any(not keys or user in keys for keys in declared_keys)
    }


async def _load_password_secrets(conn: AsyncConnection, app: str) -> dict[str, list[list[str] | None]]:
    """Secrets that a live or starting revision uses for basic auth, with the keys that each revision declares.

    None where a revision does not declare the keys.
    """
    query = select(revisions.c.password_secrets, revisions.c.catalog["secrets"].label("declared"))
    query = query.join(deployments, deployments.c.revision == revisions.c.id)
    query = query.where(deployments.c.app == app, deployments.c.status.in_(("live", "starting")))
    declared_by_name: dict[str, list[list[str] | None]] = {}
    for password_secrets, declared in await conn.execute(query):
        for name in password_secrets:
            declared_by_name.setdefault(name, []).append((declared or {}).get(name))
    return dict(sorted(declared_by_name.items()))
