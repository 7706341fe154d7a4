"""One-time links: for invited people, and to sign in without a password."""

from __future__ import annotations

from libs.common.errors import Gone
from services.registry.db import Connection, sessions
from services.registry.db.sessions import Link, LinkKind
from services.registry.token_texts import hash_token, new_token

NOT_USABLE = "this link was used, is too old, or never was; ask for a new one"
DURATIONS_S: dict[LinkKind, float] = {"sign-in": 60.0, "invitation": 7 * 86400.0}


async def add_link(conn: Connection, kind: LinkKind, user: str, created_by: str, now: float) -> tuple[str, float]:
    """A new link's token, and when it expires; an older one of the kind for the same user is no longer good."""
    token, expires_at = new_token("mlmesh_link"), now + DURATIONS_S[kind]
    await sessions.remove_links(conn, kind, user)
    await sessions.add_link(conn, Link(hash_token(token), kind, user, created_by, expires_at))
    return token, expires_at


async def find_link(conn: Connection, token: str, kind: LinkKind, now: float) -> Link:
    """The link, if it can still be used. Raises Gone."""
    link = await sessions.find_link(conn, hash_token(token))
    if link is None or link.kind != kind or link.expires_at <= now:
        raise Gone(NOT_USABLE)
    return link


async def use_link(conn: Connection, token: str, kind: LinkKind, now: float) -> str:
    """The user of the link, which is used up when the transaction commits. Raises Gone."""
    link = await find_link(conn, token, kind, now)
    if not await sessions.use_link(conn, link.hash):
        raise Gone(NOT_USABLE)
    return link.user
