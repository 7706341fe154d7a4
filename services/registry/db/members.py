"""Rows of members: which role a user or a group has in an app."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import and_, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import TypedDict

from libs.common.db import upsert
from libs.common.http.response_shapes import Time, response_shape
from libs.common.times import iso_time
from services.registry.accounts.roles import MemberKind, Membership, RoleName
from services.registry.db.tables import apps, members

BY_MANIFEST = "manifest"


@response_shape
class MemberJson(TypedDict):
    """A role of a person or of a group in an app."""

    kind: MemberKind
    name: Annotated[str, Field(examples=["petrova"])]
    role: RoleName
    added_by: str
    """As in `user petrova`; `manifest`: the PlatformApp names it, and only a commit removes it."""
    added_at: Time | None


@dataclass(frozen=True)
class Member:
    app: str
    kind: MemberKind
    name: str
    role: RoleName
    added_by: str
    added_at: float | None

    def to_json(self) -> MemberJson:
        return {
            "kind": self.kind,
            "name": self.name,
            "role": self.role,
            "added_by": self.added_by,
            "added_at": iso_time(self.added_at),
        }


async def list_members(conn: AsyncConnection, app: str) -> list[Member]:
    """Those whom the app's manifest names as owners come first."""
    owners = (await conn.execute(select(apps.c.owners).where(apps.c.name == app))).scalar() or ()
    query = select(members).where(members.c.app == app).order_by(members.c.kind.desc(), members.c.name)
    added = [Member(**row) for row in (await conn.execute(query)).mappings()]
    return [*(Member(app, "user", name, "owner", BY_MANIFEST, None) for name in owners), *added]


async def list_memberships(conn: AsyncConnection, user: str, groups: Collection[str]) -> list[Membership]:
    """All roles of a person: by name, by groups, and as an owner that a manifest names."""
    by_name = and_(members.c.kind == "user", members.c.name == user)
    by_group = and_(members.c.kind == "group", members.c.name.in_(groups))
    rows = (await conn.execute(select(members).where(or_(by_name, by_group)))).mappings()
    added = [
        Membership(member["app"], member["role"], "name" if member["kind"] == "user" else f"group {member['name']}")
        for member in rows
    ]
    owned = [
        Membership(app, "owner", BY_MANIFEST)
        for app, owners in await conn.execute(select(apps.c.name, apps.c.owners))
        if user in owners
    ]
    return [*owned, *added]


async def set_member(conn: AsyncConnection, member: Member) -> None:
    values = asdict(member)
    updates = {"role": member.role, "added_by": member.added_by, "added_at": member.added_at}
    statement = upsert(conn, members).values(**values)
    await conn.execute(statement.on_conflict_do_update(index_elements=["app", "kind", "name"], set_=updates))


async def remove_user(conn: AsyncConnection, name: str) -> None:
    """From all apps."""
    await conn.execute(delete(members).where(members.c.kind == "user", members.c.name == name))


async def remove(conn: AsyncConnection, app: str, kind: Literal["user", "group"], name: str) -> bool:
    """Whether it existed."""
    condition = and_(members.c.app == app, members.c.kind == kind, members.c.name == name)
    return (await conn.execute(delete(members).where(condition))).rowcount > 0
