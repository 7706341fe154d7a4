"""Rows of sessions and personal tokens, and of one-time links, by their hashes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import TypedDict

from libs.common.http.response_shapes import Time, response_shape
from libs.common.times import iso_time
from services.registry.db.tables import links, sessions

SessionKind = Literal["session", "token"]
LinkKind = Literal["invitation", "sign-in"]


@response_shape
class SessionJson(TypedDict):
    """A session of a browser or of the command line."""

    id: str
    created_at: Time
    used_at: Time
    expires_at: Time | None
    current: bool
    """It is the one that asks."""


@response_shape
class PersonalTokenJson(TypedDict):
    """A token of a person, without its text."""

    id: str
    name: Annotated[str, Field(examples=["laptop"])]
    scopes: Annotated[list[str] | None, Field(examples=[["call:texts"]])]
    """What it is limited to; null: all that its person may."""
    created_at: Time
    used_at: Time
    expires_at: Time | None


@dataclass(frozen=True)
class Session:
    id: str
    user: str
    hash: str
    kind: SessionKind
    created_at: float
    used_at: float
    expires_at: float | None
    name: str | None = None
    scopes: tuple[str, ...] | None = None
    groups: tuple[str, ...] = ()

    def to_json(self, current: str) -> SessionJson:
        return {
            "id": self.id,
            "created_at": iso_time(self.created_at),
            "used_at": iso_time(self.used_at),
            "expires_at": iso_time(self.expires_at),
            "current": self.id == current,
        }

    def to_token_json(self) -> PersonalTokenJson:
        return {
            "id": self.id,
            "name": self.name or "",
            "scopes": None if self.scopes is None else list(self.scopes),
            "created_at": iso_time(self.created_at),
            "used_at": iso_time(self.used_at),
            "expires_at": iso_time(self.expires_at),
        }


@dataclass(frozen=True)
class Link:
    hash: str
    kind: LinkKind
    user: str
    created_by: str
    expires_at: float


async def add(conn: AsyncConnection, session: Session) -> None:
    await conn.execute(insert(sessions).values(**asdict(session)))


async def find_by_hash(conn: AsyncConnection, session_hash: str) -> Session | None:
    row = (await conn.execute(select(sessions).where(sessions.c.hash == session_hash))).mappings().first()
    return _to_session(row) if row else None


async def get(conn: AsyncConnection, session: str) -> Session | None:
    row = (await conn.execute(select(sessions).where(sessions.c.id == session))).mappings().first()
    return _to_session(row) if row else None


async def list_of_user(conn: AsyncConnection, user: str, kind: SessionKind, now: float) -> list[Session]:
    """Oldest first, without expired ones."""
    query = select(sessions).where(sessions.c.user == user, sessions.c.kind == kind).order_by(sessions.c.created_at)
    rows = [_to_session(row) for row in (await conn.execute(query)).mappings()]
    return [session for session in rows if session.expires_at is None or session.expires_at > now]


async def mark_used(conn: AsyncConnection, session: str, now: float, expires_at: float | None) -> None:
    await conn.execute(update(sessions).where(sessions.c.id == session).values(used_at=now, expires_at=expires_at))


async def remove(conn: AsyncConnection, user: str, session: str) -> bool:
    """Whether it existed."""
    condition = (sessions.c.user == user) & (sessions.c.id == session)
    return (await conn.execute(delete(sessions).where(condition))).rowcount > 0


async def remove_all(conn: AsyncConnection, user: str, kind: SessionKind, *, but: str = "") -> None:
    """All sessions, or all personal tokens, of a person; `but`: the id of one that stays."""
    condition = (sessions.c.user == user) & (sessions.c.kind == kind) & (sessions.c.id != but)
    await conn.execute(delete(sessions).where(condition))


async def remove_expired(conn: AsyncConnection, now: float) -> None:
    """Sessions and links."""
    await conn.execute(delete(sessions).where(sessions.c.expires_at < now))
    await conn.execute(delete(links).where(links.c.expires_at < now))


async def add_link(conn: AsyncConnection, link: Link) -> None:
    await conn.execute(insert(links).values(**asdict(link)))


async def find_link(conn: AsyncConnection, link_hash: str) -> Link | None:
    row = (await conn.execute(select(links).where(links.c.hash == link_hash))).mappings().first()
    return Link(**row) if row else None


async def use_link(conn: AsyncConnection, link_hash: str) -> bool:
    """Delete it; False when another use was first."""
    return (await conn.execute(delete(links).where(links.c.hash == link_hash))).rowcount > 0


async def remove_links(conn: AsyncConnection, kind: LinkKind, user: str) -> None:
    """Those of a user, which are no longer good."""
    await conn.execute(delete(links).where(links.c.kind == kind, links.c.user == user))


def _to_session(row: RowMapping) -> Session:
    scopes = row["scopes"]
    return Session(**{**row, "scopes": None if scopes is None else tuple(scopes), "groups": tuple(row["groups"])})
