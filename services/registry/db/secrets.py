"""Rows of secrets: declared keys and sealed values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.registry.db.tables import secret_values, secrets


@dataclass(frozen=True)
class Secret:
    """`present` are the keys that have a value."""

    name: str
    keys: tuple[str, ...]
    version: int
    updated_at: float
    present: frozenset[str]

    def declares(self, key: str) -> bool:
        """A declaration that names no keys leaves them free."""
        return not self.keys or key in self.keys


@dataclass(frozen=True)
class Sealed:
    """A value as it is stored, and the verifier for a password."""

    sealed: bytes
    verifier: str | None


async def listed(c: AsyncConnection, app: str) -> dict[str, Secret]:
    present: dict[str, set[str]] = {}
    for name, key in await c.execute(
        select(secret_values.c.name, secret_values.c.key).where(secret_values.c.app == app)
    ):
        present.setdefault(name, set()).add(key)
    query = select(secrets).where(secrets.c.app == app).order_by(secrets.c.name)
    found = [(row["name"], row) for row in (await c.execute(query)).mappings()]
    return {
        name: Secret(name, tuple(row["keys"]), row["version"], row["updated_at"], frozenset(present.get(name, ())))
        for name, row in found
    }


async def declare(c: AsyncConnection, app: str, name: str, keys: Iterable[str], now: float) -> None:
    """Make it, or change its declared keys; values stay."""
    values = {"keys": list(keys), "updated_at": now}
    added = upsert(c, secrets).values(app=app, name=name, version=0, **values)
    await c.execute(added.on_conflict_do_update(index_elements=["app", "name"], set_=values))


async def values(c: AsyncConnection, app: str, name: str) -> dict[str, bytes]:
    """The sealed values by key."""
    query = select(secret_values.c.key, secret_values.c.sealed).where(
        secret_values.c.app == app, secret_values.c.name == name
    )
    return {row.key: row.sealed for row in await c.execute(query)}


async def verifiers(c: AsyncConnection, app: str, name: str) -> dict[str, str]:
    query = select(secret_values.c.key, secret_values.c.verifier).where(
        secret_values.c.app == app, secret_values.c.name == name, secret_values.c.verifier.is_not(None)
    )
    return {row.key: row.verifier for row in await c.execute(query)}


async def put(c: AsyncConnection, app: str, name: str, changed: Mapping[str, Sealed | None], now: float) -> None:
    """Set keys, or remove those that are None; an undeclared secret is made."""
    await c.execute(
        upsert(c, secrets).values(app=app, name=name, keys=[], version=0, updated_at=now).on_conflict_do_nothing()
    )
    for key, value in changed.items():
        await _put(c, app, name, key, value)
    bumped = update(secrets).where(secrets.c.app == app, secrets.c.name == name)
    await c.execute(bumped.values(version=secrets.c.version + 1, updated_at=now))


async def _put(c: AsyncConnection, app: str, name: str, key: str, value: Sealed | None) -> None:
    if value is None:
        mine = (secret_values.c.app == app) & (secret_values.c.name == name) & (secret_values.c.key == key)
        await c.execute(delete(secret_values).where(mine))
        return
    added = upsert(c, secret_values).values(app=app, name=name, key=key, **value.__dict__)
    await c.execute(added.on_conflict_do_update(index_elements=["app", "name", "key"], set_=value.__dict__))


async def remove(c: AsyncConnection, app: str, name: str) -> bool:
    """Whether there was one."""
    await c.execute(delete(secret_values).where(secret_values.c.app == app, secret_values.c.name == name))
    return (await c.execute(delete(secrets).where(secrets.c.app == app, secrets.c.name == name))).rowcount > 0
