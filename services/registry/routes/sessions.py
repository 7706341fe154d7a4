"""`/api/v1/setup`, `/api/v1/sessions`: how people come in. Without a bearer token, except for lists and links."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from libs.common.db import database_time
from libs.common.errors import Conflict, Forbidden, Gone, Invalid, NotFound, Unauthorized
from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page, Time, response_shape
from libs.common.identity import Caller
from libs.common.manifests.fields import UserName
from libs.common.storable_text import StorableText
from libs.common.times import iso_time
from services.registry.accounts.links import add_link, find_link, use_link
from services.registry.accounts.names import AccountName
from services.registry.accounts.passwords import check_new_password
from services.registry.accounts.sessions import OpenedSession, open_session
from services.registry.db import Connection, sessions, users
from services.registry.db.sessions import LinkKind, Session, SessionJson
from services.registry.db.users import User
from services.registry.dependencies import CallerDep, Dependencies, DependenciesDep
from services.registry.token_texts import constant_time_equal

router = DocumentedRouter(prefix="/api/v1", tags=["people"])
WRONG_PASSWORD = "wrong name or password"  # noqa: S105  a sentence
NO_ACCOUNT = "an operator's token has no sessions; sign in with: mlmesh login --user NAME"


@response_shape
class OpenedSessionJson(TypedDict):
    """A new session, with the bearer token of its calls."""

    id: str
    user: Annotated[str, Field(examples=["petrova"])]
    token: str
    expires_at: Time | None


@response_shape
class SignInLinkJson(TypedDict):
    """A link that signs in once."""

    token: str
    """For `POST /api/v1/sessions`."""
    user: str
    expires_at: Time


class AcceptedLink(BaseModel):
    """The token of an invitation and the password for it; or MLMESH_ADMIN_TOKEN, a name and a password, once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: StorableText
    name: Annotated[AccountName, Field(examples=["petrova"])] | None = None
    password: Annotated[StorableText, Field(examples=["correct horse battery"])]


class SignIn(BaseModel):
    """A name and a password, or the token of a link."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[StorableText, Field(max_length=64, examples=["petrova"])] | None = None
    password: Annotated[StorableText, Field(max_length=1000)] | None = None
    link: StorableText | None = None


class NewSignInLink(BaseModel):
    """For whom: a person makes links for themselves, an administrator's token for every account."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: UserName | None = None


@router.post("/setup", status_code=201, summary="Become the first administrator, or accept an invitation")
async def accept_link(body: AcceptedLink, deps: DependenciesDep) -> OpenedSessionJson:
    """Sets the password and signs in. The link works once."""
    check_new_password(body.password)
    is_setup = constant_time_equal(body.token, deps.settings.admin_token or "")
    if not is_setup:
        async with deps.database.read() as conn:
            await find_link(conn, body.token, "invitation", await database_time(conn))  # before the costly hash
    hashed = await deps.passwords.hash_password(body.password)
    async with deps.database.write() as conn:
        now = await database_time(conn)
        if is_setup:
            user = await _add_first_administrator(conn, body.name, hashed, now)
        else:
            user = await _use_link(conn, body.token, "invitation", now)
            await users.set_columns(conn, user, password_hash=hashed)
            await sessions.remove_all(conn, user, "session")
        opened = await open_session(conn, user, now)
    return _to_json(opened)


async def _add_first_administrator(conn: Connection, name: str | None, password_hash: str, now: float) -> str:
    """Raises Gone, Invalid, Conflict."""
    await users.lock_administrators(conn)
    if await users.count_administrators(conn):
        raise Gone("this mesh has an administrator already; ask for an invitation")
    if name is None:
        raise Invalid("choose a name")
    user = User(name, is_administrator=True, created_at=now, created_by="setup", password_hash=password_hash)
    if not await users.add(conn, user):
        raise Conflict(f'there is an account "{name}" already; choose another name')
    return name


@router.post("/sessions", status_code=201, summary="Sign in")
async def sign_in(body: SignIn, deps: DependenciesDep, caller: CallerDep) -> OpenedSessionJson:
    """With a name and a password, or with a one-time link."""
    if body.link is not None:
        return await _sign_in_with_link(deps, body.link)
    if body.name is None or body.password is None:
        raise Invalid("send name and password, or link")
    deps.sign_in_throttle.count_attempt(body.name, caller.address)
    async with deps.database.read() as conn:
        user = await users.get(conn, body.name)
    stored = user.password_hash if user is not None and user.disabled_at is None else None
    if not await deps.passwords.is_right(stored, body.password):
        raise Unauthorized(WRONG_PASSWORD)
    deps.sign_in_throttle.forget(body.name, caller.address)
    async with deps.database.write() as conn:
        if await _is_usable(conn, body.name):
            return _to_json(await open_session(conn, body.name, await database_time(conn)))
    raise Unauthorized(WRONG_PASSWORD)


async def _sign_in_with_link(deps: Dependencies, token: str) -> OpenedSessionJson:
    async with deps.database.write() as conn:
        now = await database_time(conn)
        user = await _use_link(conn, token, "sign-in", now)
        return _to_json(await open_session(conn, user, now))


async def _use_link(conn: Connection, token: str, kind: LinkKind, now: float) -> str:
    """The user of the link. Locks the account first, as its deletion does. Raises Gone, which leaves the link."""
    link = await find_link(conn, token, kind, now)
    if not await _is_usable(conn, link.user):
        raise Gone("the account of this link is disabled")
    return await use_link(conn, token, kind, now)


async def _is_usable(conn: Connection, name: str) -> bool:
    """Locks the account: a session is not opened while it is being disabled."""
    user = await users.get(conn, name, lock=True)
    return user is not None and user.disabled_at is None


@router.get("/sessions")
async def list_sessions(deps: DependenciesDep, caller: CallerDep) -> Page[SessionJson]:
    """One's own."""
    async with deps.database.read() as conn:
        rows = await sessions.list_of_user(conn, require_person(caller), "session", await database_time(conn))
    return {"items": [session.to_json(caller.session) for session in rows], "next": None}


@router.delete("/sessions/{session}", status_code=204, summary="Sign out")
async def delete_session(session: str, deps: DependenciesDep, caller: CallerDep) -> None:
    """By id, or `current`. Its token is refused within a second."""
    identity = caller.session if session == "current" else session
    async with deps.database.write() as conn:
        if not await sessions.remove(conn, require_person(caller), identity):
            raise NotFound("you have no such session")


@router.post("/sessions/links", status_code=201, summary="Make a link that signs in once")
async def create_link(
    deps: DependenciesDep, caller: CallerDep, response: Response, body: NewSignInLink | None = None
) -> SignInLinkJson:
    """For a minute. A person makes it for themselves, an administrator's token for any account."""
    async with deps.database.write() as conn:
        now = await database_time(conn)
        name = await _find_link_user(conn, caller, body.user if body is not None else None)
        token, expires_at = await add_link(conn, "sign-in", name, caller.title, now)
    response.headers["Cache-Control"] = "no-store"
    return {"token": token, "user": name, "expires_at": iso_time(expires_at)}


async def _find_link_user(conn: Connection, caller: Caller, name: str | None) -> str:
    """Raises Forbidden, NotFound, Conflict."""
    if caller.person and name in (None, caller.person):
        return (await require_session(conn, caller)).user
    if caller.person or not caller.has_scope("admin"):
        raise Forbidden("only an operator's token with the scope admin signs in somebody else")
    accounts = [user for user in await users.list_users(conn) if user.disabled_at is None]
    if name is None:
        administrators = [user.name for user in accounts if user.is_administrator]
        if len(administrators) != 1:
            raise Conflict("say for which account: there is not exactly one administrator")
        return administrators[0]
    if name not in [user.name for user in accounts]:
        raise NotFound(f'there is no account "{name}" that may sign in')
    return name


def require_person(caller: Caller) -> str:
    """The caller's account. Raises Forbidden for operators' tokens, which have none."""
    if not caller.person:
        raise Forbidden(NO_ACCOUNT)
    return caller.person


async def require_session(conn: Connection, caller: Caller) -> Session:
    """The caller's session. Raises Forbidden for tokens: one that leaked must not make another that stays."""
    session = await sessions.get(conn, caller.session) if require_person(caller) else None
    if session is None or session.kind != "session":
        raise Forbidden("a personal token cannot do this; sign in with the password")
    return session


def _to_json(opened: OpenedSession) -> OpenedSessionJson:
    session = opened.session
    return {
        "id": session.id,
        "user": session.user,
        "token": opened.token,
        "expires_at": iso_time(session.expires_at),
    }
