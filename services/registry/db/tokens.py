"""Rows of operators' tokens and of apps' API keys, by their hashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from sqlalchemy import RowMapping, delete, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import TypedDict

from libs.common.db import upsert
from libs.common.http.response_shapes import Time, response_shape
from libs.common.times import iso_time
from services.registry.db.ids import new_id
from services.registry.db.tables import api_keys, tokens


@response_shape
class TokenJson(TypedDict):
    """A token of an operator or a developer, without its text."""

    id: str
    name: Annotated[str, Field(examples=["ada-laptop"])]
    scopes: Annotated[list[str], Field(examples=[["write:texts"]])]
    created_at: Time
    expires_at: Time | None
    """Null: never."""


@response_shape
class ApiKeyJson(TypedDict):
    """An API key of a caller, without its text."""

    id: str
    user: Annotated[str, Field(examples=["alice"])]
    """Calls with this key are calls of this user."""
    created_at: Time


@dataclass(frozen=True)
class Token:
    id: str
    name: str
    hash: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None

    def to_json(self) -> TokenJson:
        return {
            "id": self.id,
            "name": self.name,
            "scopes": list(self.scopes),
            "created_at": iso_time(self.created_at),
            "expires_at": iso_time(self.expires_at),
        }


@dataclass(frozen=True)
class ApiKey:
    id: str
    app: str
    username: str
    hash: str
    created_at: float

    def to_json(self) -> ApiKeyJson:
        return {"id": self.id, "user": self.username, "created_at": iso_time(self.created_at)}


async def add(conn: AsyncConnection, token: Token) -> bool:
    """False when the name is taken."""
    statement = upsert(conn, tokens).values(**{**token.__dict__, "scopes": list(token.scopes)}).on_conflict_do_nothing()
    return (await conn.execute(statement)).rowcount > 0


async def find_by_hash(conn: AsyncConnection, token_hash: str) -> Token | None:
    row = (await conn.execute(select(tokens).where(tokens.c.hash == token_hash))).mappings().first()
    return _to_token(row) if row else None


async def list_tokens(conn: AsyncConnection) -> list[Token]:
    return [_to_token(row) for row in (await conn.execute(select(tokens).order_by(tokens.c.created_at))).mappings()]


async def remove(conn: AsyncConnection, token: str) -> bool:
    """By id or by name; whether it existed."""
    condition = or_(tokens.c.id == token, tokens.c.name == token)
    return (await conn.execute(delete(tokens).where(condition))).rowcount > 0


def _to_token(row: RowMapping) -> Token:
    return Token(**{**row, "scopes": tuple(row["scopes"])})


async def add_key(conn: AsyncConnection, app: str, username: str, key_hash: str, now: float) -> ApiKey:
    key = ApiKey(new_id(), app, username, key_hash, now)
    await conn.execute(insert(api_keys).values(**key.__dict__))
    return key


async def list_keys(conn: AsyncConnection, app: str) -> list[ApiKey]:
    query = select(api_keys).where(api_keys.c.app == app).order_by(api_keys.c.created_at)
    return [ApiKey(**row) for row in (await conn.execute(query)).mappings()]


async def remove_key(conn: AsyncConnection, app: str, key: str) -> bool:
    condition = (api_keys.c.app == app) & (api_keys.c.id == key)
    return (await conn.execute(delete(api_keys).where(condition))).rowcount > 0
