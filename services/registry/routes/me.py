"""`/api/v1/me`: the caller's own account, and personal tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict

from libs.common.db import database_time
from libs.common.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import AppName, Page, response_shape
from libs.common.manifests import quantities
from libs.common.scopes import limit_scopes
from libs.common.storable_text import StorableText
from services.registry import token_texts
from services.registry.accounts.passwords import check_new_password
from services.registry.accounts.roles import RoleName
from services.registry.db import members, sessions, users
from services.registry.db.ids import new_id
from services.registry.db.sessions import PersonalTokenJson, Session
from services.registry.dependencies import CallerDep, Dependencies, DependenciesDep
from services.registry.routes.sessions import require_person, require_session

router = DocumentedRouter(prefix="/api/v1/me", tags=["people"])


@response_shape
class MembershipJson(TypedDict):
    """A role in an app."""

    app: AppName
    role: RoleName
    via: str
    """`name`, `group teachers`, or `manifest`."""


@response_shape
class MeJson(TypedDict):
    """Who calls, and what they may."""

    name: Annotated[str, Field(examples=["petrova"])]
    """Empty for an operator's token."""
    token: str
    """The name of the token; empty for a session."""
    administrator: bool
    scopes: Annotated[list[str], Field(examples=[["develop:texts"]])]
    """What this credential may."""
    roles: list[MembershipJson]
    language: str | None
    theme: str | None


class MeChange(BaseModel):
    """A new password needs the present one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: Literal["en", "ru"] | None = None
    theme: Literal["light", "dark"] | None = None
    password: StorableText | None = None
    current_password: StorableText | None = None


class NewPersonalToken(BaseModel):
    """`scopes` limit it; without them it may what its person may. Without `expires_in` it does not expire."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=f"^{token_texts.NAME.pattern}$", examples=["laptop"])]
    scopes: tuple[str, ...] | None = None
    expires_in: Annotated[float, Field(gt=0), BeforeValidator(quantities.parse_duration)] | None = None


@response_shape
class CreatedPersonalTokenJson(PersonalTokenJson):
    """A new token, with its text."""

    token: str


@router.get("", summary="Show who calls")
async def show_me(deps: DependenciesDep, caller: CallerDep) -> MeJson:
    """Of every credential: an account with its roles, or an operator's token."""
    async with deps.database.read() as conn:
        user = await users.get(conn, caller.person) if caller.person else None
        session = await sessions.get(conn, caller.session)
        groups = session.groups if session is not None else ()
        memberships = await members.list_memberships(conn, user.name, groups) if user is not None else []
    return {
        "name": caller.person,
        "token": "" if caller.token_name == caller.person else caller.token_name,
        "administrator": user is not None and user.is_administrator,
        "scopes": sorted(caller.scopes),
        "roles": [{"app": item.app, "role": item.role, "via": item.via} for item in memberships],
        "language": user.language if user is not None else None,
        "theme": user.theme if user is not None else None,
    }


@router.patch("", status_code=204, summary="Change one's own account")
async def change_me(body: MeChange, deps: DependenciesDep, caller: CallerDep) -> None:
    """A new password ends all other sessions; personal tokens stay."""
    async with deps.database.read() as conn:
        name = (await require_session(conn, caller)).user
    columns: dict[str, str | None] = {
        field: getattr(body, field) for field in ("language", "theme") if field in body.model_fields_set
    }
    if body.password is not None:
        columns["password_hash"] = await _hash_new_password(deps, name, body, caller.address)
    async with deps.database.write() as conn:
        if columns:
            await users.set_columns(conn, name, **columns)
        if body.password is not None:
            await sessions.remove_all(conn, name, "session", but=caller.session)


async def _hash_new_password(deps: Dependencies, name: str, body: MeChange, address: str) -> str:
    """Raises Invalid, Unauthorized, TooManyRequests."""
    check_new_password(body.password or "")
    if body.current_password is None:
        raise Invalid("send the present password as current_password")
    deps.sign_in_throttle.count_attempt(name, address)
    async with deps.database.read() as conn:
        user = await users.get(conn, name)
    if not await deps.passwords.is_right(user.password_hash if user is not None else None, body.current_password):
        raise Unauthorized("the present password is another one")
    deps.sign_in_throttle.forget(name, address)
    return await deps.passwords.hash_password(body.password or "")


@router.get("/tokens")
async def list_personal_tokens(deps: DependenciesDep, caller: CallerDep) -> Page[PersonalTokenJson]:
    async with deps.database.read() as conn:
        rows = await sessions.list_of_user(conn, require_person(caller), "token", await database_time(conn))
    return {"items": [token.to_token_json() for token in rows], "next": None}


@router.post("/tokens", status_code=201)
async def create_personal_token(
    body: NewPersonalToken, deps: DependenciesDep, caller: CallerDep
) -> CreatedPersonalTokenJson:
    """The token is only in this response. It never may more than its person may at the time of a call."""
    text = token_texts.new_token("mlmesh_personal")
    scopes = None if body.scopes is None else token_texts.validate_scopes(body.scopes)
    if scopes is not None and not limit_scopes(scopes, caller.scopes):
        raise Forbidden(f"you may nothing of {', '.join(scopes)}; see what you may with: mlmesh me")
    async with deps.database.write() as conn:
        now, name = await database_time(conn), (await require_session(conn, caller)).user
        present = await sessions.list_of_user(conn, name, "token", now)
        if body.name in [token.name for token in present]:
            raise Conflict(f'you have a token "{body.name}" already; revoke it, or choose another name')
        expires_at = now + body.expires_in if body.expires_in is not None else None
        token = Session(
            new_id(), name, token_texts.hash_token(text), "token", now, now, expires_at, name=body.name, scopes=scopes
        )
        await sessions.add(conn, token)
    return {**token.to_token_json(), "token": text}


@router.delete("/tokens/{token}", status_code=204)
async def delete_personal_token(token: str, deps: DependenciesDep, caller: CallerDep) -> None:
    """By id or by name. The gateway stops accepting it within a second."""
    name = require_person(caller)
    async with deps.database.write() as conn:
        present = await sessions.list_of_user(conn, name, "token", 0.0)
        identity = next((item.id for item in present if token in (item.id, item.name)), "")
        if not await sessions.remove(conn, name, identity):
            raise NotFound("you have no such token")
