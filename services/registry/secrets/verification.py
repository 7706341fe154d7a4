"""Whose token it is, and what it allows."""

from __future__ import annotations

from libs.common.db import Database, clock
from libs.common.errors import Unauthorized
from libs.common.identity import Caller
from libs.common.settings import Settings
from services.registry.db import tokens
from services.registry.secrets.tokens import ADMIN_NAME, expired, hashed, same


async def verified(settings: Settings, database: Database, token: str) -> tuple[Caller, float | None]:
    """And for how many seconds it is good; None: for ever. Raises Unauthorized for a token that is unknown or over."""
    if same(token, settings.admin_token or ""):
        return Caller(token_name=ADMIN_NAME, scopes=frozenset({"admin"})), None
    async with database.read() as c:
        found, now = await tokens.by_hash(c, hashed(token)), await clock(c)
    if found is None or expired(found.expires_at, now):
        raise Unauthorized("this token is not valid")
    left = None if found.expires_at is None else found.expires_at - now
    return Caller(token_name=found.name, scopes=frozenset(found.scopes)), left
