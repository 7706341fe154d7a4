"""Rows of secrets: declared keys and encrypted values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from services.registry.db.tables import secret_values, secrets


@dataclass(frozen=True)
class Secret:
    """`keys` are declared; `keys_set` have a value."""

    name: str
    keys: tuple[str, ...]
    version: int
    updated_at: float
    keys_set: frozenset[str]

    def declares_key(self, key: str) -> bool:
        """A declaration without keys allows any key."""
        return not self.keys or key in self.keys


@dataclass(frozen=True)
class EncryptedValue:
    """The columns of a value: ciphertext, and a verifier where it may be a password."""

    ciphertext: bytes
    verifier: str | None


async def list_secrets(conn: AsyncConnection, app: str) -> dict[str, Secret]:
    keys_set: dict[str, set[str]] = {}
    for name, key in await conn.execute(
        select(secret_values.c.name, secret_values.c.key).where(secret_values.c.app == app)
    ):
        keys_set.setdefault(name, set()).add(key)
    query = select(secrets).where(secrets.c.app == app).order_by(secrets.c.name)
    rows = [(row["name"], row) for row in (await conn.execute(query)).mappings()]
    return {
        name: Secret(name, tuple(row["keys"]), row["version"], row["updated_at"], frozenset(keys_set.get(name, ())))
        for name, row in rows
    }


async def declare(conn: AsyncConnection, app: str, name: str, keys: Iterable[str], now: float) -> None:
    """Insert the secret, or change its declared keys; values stay."""
    values = {"keys": list(keys), "updated_at": now}
    statement = upsert(conn, secrets).values(app=app, name=name, version=0, **values)
    await conn.execute(statement.on_conflict_do_update(index_elements=["app", "name"], set_=values))


async def get_values(conn: AsyncConnection, app: str, name: str) -> dict[str, bytes]:
    """The encrypted values by key."""
    query = select(secret_values.c.key, secret_values.c.ciphertext).where(
        secret_values.c.app == app, secret_values.c.name == name
    )
    return {row.key: row.ciphertext for row in await conn.execute(query)}


async def get_verifiers(conn: AsyncConnection, app: str, name: str) -> dict[str, str]:
    query = select(secret_values.c.key, secret_values.c.verifier).where(
        secret_values.c.app == app, secret_values.c.name == name, secret_values.c.verifier.is_not(None)
    )
    return {row.key: row.verifier for row in await conn.execute(query)}


async def put_values(
    conn: AsyncConnection, app: str, name: str, changed: Mapping[str, EncryptedValue | None], now: float
) -> None:
    """Set keys, delete those that are None; inserts a secret that is not declared yet."""
    await conn.execute(
        upsert(conn, secrets).values(app=app, name=name, keys=[], version=0, updated_at=now).on_conflict_do_nothing()
    )
    for key, value in changed.items():
        await _put_value(conn, app, name, key, value)
    statement = update(secrets).where(secrets.c.app == app, secrets.c.name == name)
    await conn.execute(statement.values(version=secrets.c.version + 1, updated_at=now))


async def _put_value(conn: AsyncConnection, app: str, name: str, key: str, value: EncryptedValue | None) -> None:
    if value is None:
        condition = (secret_values.c.app == app) & (secret_values.c.name == name) & (secret_values.c.key == key)
        await conn.execute(delete(secret_values).where(condition))
        return
    statement = upsert(conn, secret_values).values(app=app, name=name, key=key, **value.__dict__)
    await conn.execute(statement.on_conflict_do_update(index_elements=["app", "name", "key"], set_=value.__dict__))


async def forget_values(conn: AsyncConnection, app: str, name: str, now: float) -> bool:
    """Delete the values of a secret that stays declared. Whether it existed."""
    await conn.execute(delete(secret_values).where(secret_values.c.app == app, secret_values.c.name == name))
    statement = update(secrets).where(secrets.c.app == app, secrets.c.name == name)
    return (await conn.execute(statement.values(version=secrets.c.version + 1, updated_at=now))).rowcount > 0


async def remove(conn: AsyncConnection, app: str, name: str) -> bool:
    """Whether it existed."""
    await conn.execute(delete(secret_values).where(secret_values.c.app == app, secret_values.c.name == name))
    return (await conn.execute(delete(secrets).where(secrets.c.app == app, secrets.c.name == name))).rowcount > 0
