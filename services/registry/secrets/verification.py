"""Authenticates API tokens."""

from __future__ import annotations

from libs.common.db import Database, database_time
from libs.common.errors import Unauthorized
from libs.common.identity import Caller
from libs.common.settings import Settings
from services.registry.db import tokens
from services.registry.secrets.tokens import ADMIN_NAME, constant_time_equal, hash_token, is_expired


async def authenticate_token(settings: Settings, database: Database, token: str) -> tuple[Caller, float | None]:
    """The caller and the seconds until the token expires (None: never). Raises Unauthorized."""
    if constant_time_equal(token, settings.admin_token or ""):
        return Caller(token_name=ADMIN_NAME, scopes=frozenset({"admin"})), None
    async with database.read() as conn:
        row, now = await tokens.find_by_hash(conn, hash_token(token)), await database_time(conn)
    if row is None or is_expired(row.expires_at, now):
        raise Unauthorized("this token is not valid")
    expires_in = None if row.expires_at is None else row.expires_at - now
    return Caller(token_name=row.name, scopes=frozenset(row.scopes)), expires_in
