"""`/api/v1/users`: accounts, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from libs.common.db import database_time
from libs.common.errors import Conflict, NotFound
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page, Time, response_shape
from libs.common.times import iso_time
from services.registry.accounts.links import add_link
from services.registry.accounts.names import AccountName
from services.registry.db import Connection, members, sessions, users
from services.registry.db.users import User, UserJson
from services.registry.dependencies import CallerDep, DependenciesDep

router = DocumentedRouter(prefix="/api/v1/users", tags=["people"])


@response_shape
class InvitationJson(TypedDict):
    """A link with which a person chooses a password."""

    user: Annotated[str, Field(examples=["petrova"])]
    token: str
    """For `POST /api/v1/setup`."""
    expires_at: Time


class NewUser(BaseModel):
    """An account; its person chooses the password with the invitation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[AccountName, Field(examples=["petrova"])]
    administrator: bool = False


class UserChange(BaseModel):
    """What stays the same is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    administrator: bool | None = None
    disabled: bool | None = None


class UserNotFound(NotFound):
    """There is no such account."""

    def __init__(self, name: str) -> None:
        super().__init__(f'there is no account "{name}"')


@router.get("")
async def list_users(deps: DependenciesDep, caller: CallerDep) -> Page[UserJson]:
    """Ordered by name."""
    caller.require_scope("admin")
    async with deps.database.read() as conn:
        rows = await users.list_users(conn)
    return {"items": [user.to_json() for user in rows], "next": None}


@router.post("", status_code=201)
async def invite_user(body: NewUser, deps: DependenciesDep, caller: CallerDep, response: Response) -> InvitationJson:
    caller.require_scope("admin")
    async with deps.database.write() as conn:
        now = await database_time(conn)
        user = User(body.name, body.administrator, created_at=now, created_by=caller.title)
        if not await users.add(conn, user):
            raise Conflict(f'there is an account "{body.name}" already')
        invitation = await _invite(conn, body.name, caller.title, now)
    response.headers["Location"] = f"/api/v1/users/{body.name}"
    return invitation


@router.post("/{name}/invitation", status_code=201, summary="Let a person choose a new password")
async def renew_invitation(name: str, deps: DependenciesDep, caller: CallerDep) -> InvitationJson:
    """The present password stays good until the link is used."""
    caller.require_scope("admin")
    async with deps.database.write() as conn:
        if await users.get(conn, name) is None:
            raise UserNotFound(name)
        return await _invite(conn, name, caller.title, await database_time(conn))


async def _invite(conn: Connection, name: str, invited_by: str, now: float) -> InvitationJson:
    token, expires_at = await add_link(conn, "invitation", name, invited_by, now)
    return {"user": name, "token": token, "expires_at": iso_time(expires_at)}


@router.patch("/{name}", summary="Disable an account, or make it an administrator's")
async def change_user(name: str, body: UserChange, deps: DependenciesDep, caller: CallerDep) -> UserJson:
    """A disabled account is refused everywhere within a second; its sessions end."""
    caller.require_scope("admin")
    async with deps.database.write() as conn:
        await users.lock_administrators(conn)
        user = await users.get(conn, name, lock=True)
        if user is None:
            raise UserNotFound(name)
        now = await database_time(conn)
        if body.administrator is not None:
            await users.set_columns(conn, name, is_administrator=body.administrator)
        if body.disabled is not None:
            await users.set_columns(conn, name, disabled_at=(user.disabled_at or now) if body.disabled else None)
        if body.disabled:
            await sessions.remove_all(conn, name, "session")
        if user.is_administrator:
            await _require_administrator(conn)
        changed = await users.get(conn, name)
    if changed is None:
        raise UserNotFound(name)
    return changed.to_json()


@router.delete("/{name}", status_code=204)
async def delete_user(name: str, deps: DependenciesDep, caller: CallerDep) -> None:
    """With sessions, tokens and roles. Runs and files stay, under the name; whoever gets the name later gets them."""
    caller.require_scope("admin")
    async with deps.database.write() as conn:
        await users.lock_administrators(conn)
        user = await users.get(conn, name, lock=True)
        if user is None:
            raise UserNotFound(name)
        await users.remove(conn, name)
        await members.remove_user(conn, name)
        if user.is_administrator:
            await _require_administrator(conn)


async def _require_administrator(conn: Connection) -> None:
    """Raises Conflict, which undoes the change."""
    if not await users.count_administrators(conn):
        raise Conflict("this is the last administrator; make somebody else one before")
