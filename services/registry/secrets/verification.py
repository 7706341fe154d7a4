"""Authenticates API tokens."""

from __future__ import annotations

from libs.common.db import Database, database_time
from libs.common.errors import Unauthorized
from libs.common.identity import Caller
from libs.common.settings import Settings
from services.registry.accounts.sessions import authenticate_session, extend_session
from services.registry.db import sessions, tokens
from services.registry.token_texts import ADMIN_NAME, constant_time_equal, hash_token, is_expired


async def authenticate_token(settings: Settings, database: Database, token: str) -> tuple[Caller, float | None]:
    """The caller and the seconds until the token expires (None: never). Raises Unauthorized."""
    if constant_time_equal(token, settings.admin_token or ""):
        return Caller(token_name=ADMIN_NAME, scopes=frozenset({"admin"})), None
    digest = hash_token(token)
    async with database.read() as conn:
        row, now = await tokens.find_by_hash(conn, digest), await database_time(conn)
        person = await authenticate_session(conn, digest, now) if row is None else None
    if person is not None:
        caller, session = person
        if (expires_at := extend_session(session, now)) is not None:
            async with database.write(single_statement=True) as conn:
                await sessions.mark_used(conn, session.id, now, expires_at)
        return caller, None if session.expires_at is None else session.expires_at - now
    if row is None or is_expired(row.expires_at, now):
        raise Unauthorized("this token is not valid")
    expires_in = None if row.expires_at is None else row.expires_at - now
    return Caller(token_name=row.name, scopes=frozenset(row.scopes)), expires_in
