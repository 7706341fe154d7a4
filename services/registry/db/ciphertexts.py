"""Every encrypted value, to encrypt it again: those of Secrets, and generated webhook secrets."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.db.tables import repositories, secret_values


@dataclass(frozen=True)
class StoredValue:
    """`name` and `key` are empty for the generated webhook secret of an app."""

    app: str
    name: str
    key: str
    ciphertext: bytes

    @property
    def is_webhook_secret(self) -> bool:
        return not self.name


async def list_webhook_secrets(conn: AsyncConnection) -> list[StoredValue]:
    query = select(repositories.c.app, repositories.c.encrypted_webhook_secret)
    rows = await conn.execute(query.where(repositories.c.encrypted_webhook_secret.is_not(None)))
    return [StoredValue(app, "", "", ciphertext) for app, ciphertext in rows]


async def list_secrets(conn: AsyncConnection) -> list[tuple[str, str]]:
    """App and name of every Secret with values."""
    query = select(secret_values.c.app, secret_values.c.name).distinct()
    return [(app, name) for app, name in await conn.execute(query)]


async def list_values(conn: AsyncConnection, app: str, name: str) -> list[StoredValue]:
    """Those of one Secret."""
    table = secret_values.c
    query = select(table.app, table.name, table.key, table.ciphertext).where(table.app == app, table.name == name)
    return [StoredValue(*row) for row in await conn.execute(query)]


async def replace(conn: AsyncConnection, value: StoredValue, ciphertext: bytes) -> bool:
    """Whether the value was still the same."""
    if value.is_webhook_secret:
        column, condition = repositories.c.encrypted_webhook_secret, repositories.c.app == value.app
        statement = update(repositories).where(condition, column == value.ciphertext)
        return (await conn.execute(statement.values(encrypted_webhook_secret=ciphertext))).rowcount > 0
    table = secret_values.c
    statement = update(secret_values).where(
        table.app == value.app, table.name == value.name, table.key == value.key, table.ciphertext == value.ciphertext
    )
    return (await conn.execute(statement.values(ciphertext=ciphertext))).rowcount > 0
