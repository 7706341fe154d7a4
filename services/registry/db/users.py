"""Rows of accounts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import RowMapping, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import TypedDict

from libs.common.db import upsert
from libs.common.http.response_shapes import Time, response_shape
from libs.common.times import iso_time
from services.registry.db.tables import counters, users


@response_shape
class UserJson(TypedDict):
    """An account."""

    name: Annotated[str, Field(examples=["petrova"])]
    administrator: bool
    has_password: bool
    """False: the invitation is not accepted yet."""
    disabled_at: Time | None
    created_at: Time
    created_by: str
    """As in `user petrova`."""


@dataclass(frozen=True)
class User:
    name: str
    is_administrator: bool
    created_at: float
    created_by: str
    password_hash: str | None = None
    disabled_at: float | None = None
    language: str | None = None
    theme: str | None = None

    def to_json(self) -> UserJson:
        return {
            "name": self.name,
            "administrator": self.is_administrator,
            "has_password": self.password_hash is not None,
            "disabled_at": iso_time(self.disabled_at),
            "created_at": iso_time(self.created_at),
            "created_by": self.created_by,
        }


async def add(conn: AsyncConnection, user: User) -> bool:
    """False when the name is taken, or one that differs only in case."""
    alike = select(users.c.name).where(func.lower(users.c.name) == user.name.lower())
    if (await conn.execute(alike)).first() is not None:
        return False
    statement = upsert(conn, users).values(**asdict(user)).on_conflict_do_nothing()
    return (await conn.execute(statement)).rowcount > 0


async def get(conn: AsyncConnection, name: str, *, lock: bool = False) -> User | None:
    query = select(users).where(users.c.name == name)
    row = (await conn.execute(query.with_for_update() if lock else query)).mappings().first()
    return _to_user(row) if row else None


async def list_users(conn: AsyncConnection) -> list[User]:
    return [_to_user(row) for row in (await conn.execute(select(users).order_by(users.c.name))).mappings()]


async def lock_administrators(conn: AsyncConnection) -> None:
    """One at a time makes the first administrator, or may remove the last; until the transaction ends."""
    counter = upsert(conn, counters).values(name="setup", value=1)
    await conn.execute(counter.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1}))


async def count_administrators(conn: AsyncConnection) -> int:
    """Those that can sign in: neither disabled nor only invited."""
    is_usable = users.c.disabled_at.is_(None) & users.c.password_hash.is_not(None)
    query = select(func.count()).where(users.c.is_administrator, is_usable)
    return int((await conn.execute(query)).scalar_one())


async def set_columns(conn: AsyncConnection, name: str, **columns: Any) -> bool:
    """Whether there is such an account."""
    return (await conn.execute(update(users).where(users.c.name == name).values(**columns))).rowcount > 0


async def remove(conn: AsyncConnection, name: str) -> bool:
    """With its sessions, tokens and links; whether it existed."""
    return (await conn.execute(delete(users).where(users.c.name == name))).rowcount > 0


def _to_user(row: RowMapping) -> User:
    return User(**row)
