"""`/api/v1/apps/{ns}/members`: who has which role in an app."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from libs.common.db import database_time
from libs.common.errors import Conflict, NotFound
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page
from services.registry.accounts.roles import MemberKind, RoleName
from services.registry.db import Connection, apps, members, users
from services.registry.db.members import Member, MemberJson
from services.registry.dependencies import AppNotFound, CallerDep, DependenciesDep

router = DocumentedRouter(prefix="/api/v1/apps/{ns}/members", tags=["people"])
MemberName = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[^/\x00-\x1f]+$")]


class MemberRole(BaseModel):
    """Viewers see everything but values and files of callers; callers call; developers deploy; owners decide."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Annotated[RoleName, Field(examples=["developer"])]


@router.get("")
async def list_members(ns: str, deps: DependenciesDep, caller: CallerDep) -> Page[MemberJson]:
    """Those whom the PlatformApp names as owners come first."""
    caller.require_scope("read", ns)
    async with deps.database.read() as conn:
        await _require_app(conn, ns)
        rows = await members.list_members(conn, ns)
    return {"items": [member.to_json() for member in rows], "next": None}


@router.put("/{kind}/{name}", status_code=204, summary="Give a role")
async def set_member(
    ns: str, kind: MemberKind, name: MemberName, body: MemberRole, deps: DependenciesDep, caller: CallerDep
) -> None:
    """To a user, who must have an account, or to a group of the provider. It counts from the next call on."""
    caller.require_scope("write", ns)
    async with deps.database.write() as conn:
        await _require_app(conn, ns)
        if kind == "user" and await users.get(conn, name) is None:
            raise NotFound(f'there is no account "{name}"; an administrator invites people: mlmesh user invite {name}')
        await members.set_member(conn, Member(ns, kind, name, body.role, caller.title, await database_time(conn)))


@router.delete("/{kind}/{name}", status_code=204, summary="Take a role away")
async def remove_member(ns: str, kind: MemberKind, name: MemberName, deps: DependenciesDep, caller: CallerDep) -> None:
    """It is gone everywhere within a second."""
    caller.require_scope("write", ns)
    async with deps.database.write() as conn:
        await _require_app(conn, ns)
        if not await members.remove(conn, ns, kind, name):
            if any(member.name == name for member in await members.list_members(conn, ns)):
                raise Conflict(f"the PlatformApp of {ns} names {name} as an owner; remove the name there and push")
            raise NotFound(f'{ns} has no member "{name}"')


async def _require_app(conn: Connection, ns: str) -> None:
    if await apps.get(conn, ns) is None:
        raise AppNotFound(ns)
