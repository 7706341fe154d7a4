"""Whose token it is, and what it allows."""

from __future__ import annotations

from libs.common.db import Database, clock
from libs.common.errors import Unauthorized
from libs.common.identity import Caller
from libs.common.settings import Settings
from services.registry.db import tokens
from services.registry.tokens import ADMIN_NAME, expired, hashed, same


async def verified(settings: Settings, database: Database, token: str) -> Caller:
    """Raises Unauthorized for a token that is unknown or over."""
    if same(token, settings.admin_token or ""):
        return Caller(token_name=ADMIN_NAME, scopes=frozenset({"admin"}))
    async with database.read() as c:
        found = await tokens.by_hash(c, hashed(token))
        if found is None or expired(found.expires_at, await clock(c)):
            raise Unauthorized("this token is not valid")
    return Caller(token_name=found.name, scopes=frozenset(found.scopes))
