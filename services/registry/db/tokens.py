"""Rows of operators' tokens and of apps' API keys, by their hashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, delete, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import upsert
from libs.common.times import iso
from services.registry.db.tables import api_keys, tokens
from services.registry.secrets.tokens import new_id


@dataclass(frozen=True)
class Token:
    id: str
    name: str
    hash: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None

    def shown(self) -> dict[str, Any]:
        times = {"created_at": iso(self.created_at), "expires_at": iso(self.expires_at)}
        return {"id": self.id, "name": self.name, "scopes": list(self.scopes), **times}


@dataclass(frozen=True)
class Key:
    id: str
    app: str
    username: str
    hash: str
    created_at: float

    def shown(self) -> dict[str, Any]:
        return {"id": self.id, "user": self.username, "created_at": iso(self.created_at)}


async def add(c: AsyncConnection, token: Token) -> bool:
    """False when there is one of this name."""
    added = upsert(c, tokens).values(**{**token.__dict__, "scopes": list(token.scopes)}).on_conflict_do_nothing()
    return (await c.execute(added)).rowcount > 0


async def by_hash(c: AsyncConnection, hashed: str) -> Token | None:
    row = (await c.execute(select(tokens).where(tokens.c.hash == hashed))).mappings().first()
    return _token(row) if row else None


async def listed(c: AsyncConnection) -> list[Token]:
    return [_token(row) for row in (await c.execute(select(tokens).order_by(tokens.c.created_at))).mappings()]


async def remove(c: AsyncConnection, token: str) -> bool:
    """By id or by name; whether there was one."""
    mine = or_(tokens.c.id == token, tokens.c.name == token)
    return (await c.execute(delete(tokens).where(mine))).rowcount > 0


def _token(row: RowMapping) -> Token:
    return Token(**{**row, "scopes": tuple(row["scopes"])})


async def add_key(c: AsyncConnection, app: str, username: str, hashed: str, now: float) -> Key:
    key = Key(new_id(), app, username, hashed, now)
    await c.execute(insert(api_keys).values(**key.__dict__))
    return key


async def keys(c: AsyncConnection, app: str) -> list[Key]:
    query = select(api_keys).where(api_keys.c.app == app).order_by(api_keys.c.created_at)
    return [Key(**row) for row in (await c.execute(query)).mappings()]


async def remove_key(c: AsyncConnection, app: str, key: str) -> bool:
    mine = (api_keys.c.app == app) & (api_keys.c.id == key)
    return (await c.execute(delete(api_keys).where(mine))).rowcount > 0
