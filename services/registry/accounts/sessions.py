"""Sessions and personal tokens: how long they last, and what they may. Rows in `services.registry.db.sessions`."""

from __future__ import annotations

from dataclasses import dataclass

from libs.common.identity import Caller
from libs.common.scopes import limit_scopes
from services.registry.accounts.roles import list_scopes
from services.registry.db import Connection, members, sessions, users
from services.registry.db.ids import new_id
from services.registry.db.sessions import Session
from services.registry.token_texts import hash_token, new_token

IDLE_S = 12 * 3600.0
"""A session that is not used for so long ends."""
LONGEST_S = 7 * 86400.0
"""The longest that a session lasts."""
MARK_AFTER_S = 300.0
"""How often the use of a session is written down at most."""


@dataclass(frozen=True)
class OpenedSession:
    session: Session
    token: str
    """Its text, which is stored nowhere."""


async def open_session(conn: Connection, user: str, now: float, groups: tuple[str, ...] = ()) -> OpenedSession:
    await sessions.remove_expired(conn, now)
    token = new_token("mlmesh_session")
    session = Session(new_id(), user, hash_token(token), "session", now, now, now + IDLE_S, groups=groups)
    await sessions.add(conn, session)
    return OpenedSession(session, token)


async def authenticate_session(conn: Connection, token_hash: str, now: float) -> tuple[Caller, Session] | None:
    """The person with the scopes of their roles now; None when it is unknown, over, or the account is disabled."""
    session = await sessions.find_by_hash(conn, token_hash)
    if session is None or (session.expires_at is not None and session.expires_at <= now):
        return None
    user = await users.get(conn, session.user)
    if user is None or user.disabled_at is not None:
        return None
    memberships = await members.list_memberships(conn, user.name, session.groups)
    scopes = list_scopes(memberships, is_administrator=user.is_administrator)
    if session.scopes is not None:
        scopes = limit_scopes(session.scopes, scopes)
    caller = Caller(token_name=session.name or user.name, scopes=scopes, person=user.name, session=session.id)
    return caller, session


def extend_session(session: Session, now: float) -> float | None:
    """When the session ends after a use now; None when that need not be written down."""
    if session.kind != "session" or now - session.used_at < MARK_AFTER_S:
        return None
    return min(now + IDLE_S, session.created_at + LONGEST_S)
