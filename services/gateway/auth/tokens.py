"""Verifies API tokens at the registry, and caches the results."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from libs.common.errors import Unauthorized, Unavailable
from libs.common.identity import Caller
from libs.common.protocol.credential import TokenQuery, TokenStatus
from services.gateway.http_errors import MissingCredentials
from services.gateway.internal_client import InternalService
from services.gateway.ttl_cache import TTL_S, TTLCache

FRESH_S = 1.0
"""How long a verification is used without asking again: the longest that a revoked token still works."""
VERIFY_TIMEOUT_S = 3.0
INVALID_TOKEN = "this token is not valid: it is unknown here, has expired, or was revoked"  # noqa: S105  a sentence


@dataclass(frozen=True)
class Verification:
    caller: Caller | None
    """None: the token is not valid."""
    verified_at: float
    usable_until: float
    """While the registry is down."""


class TokenVerifier:
    def __init__(self, registry: InternalService, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock = clock
        self._cache: TTLCache[str, Verification] = TTLCache()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def verify(self, token: str) -> Caller:
        """The token's name and scopes. Raises MissingCredentials when it is invalid, Unavailable when that is unknown.

        While the registry is down the last verification counts for `TTL_S`, but not beyond the token's expiry.
        """
        key = hash_secret(token)
        verification = self._get_fresh(key)
        if verification is None:
            async with self._locks.setdefault(key, asyncio.Lock()):
                verification = self._get_fresh(key) or await self._ask_registry(key, token)
        if verification.caller is None:
            raise MissingCredentials(INVALID_TOKEN)
        return verification.caller

    def ask_again(self, token: str) -> None:
        """Ask the registry at its next use: a call may have given its person another role."""
        key = hash_secret(token)
        if (verification := self._cache.get(key)) is not None:
            self._cache.put(key, replace(verification, verified_at=-math.inf))

    def _get_fresh(self, key: str) -> Verification | None:
        verification, now = self._cache.get(key), self._clock()
        return (
            verification
            if verification is not None and now < min(verification.verified_at + FRESH_S, verification.usable_until)
            else None
        )

    async def _ask_registry(self, key: str, token: str) -> Verification:
        now = self._clock()
        try:
            response = await self._registry.request_json(
                "POST", "/internal/tokens/verify", TokenQuery(token=token).to_json(), timeout=VERIFY_TIMEOUT_S
            )
        except Unauthorized:
            verification = Verification(None, now, now + FRESH_S)
        except Unavailable:
            previous = self._cache.get(key)
            if previous is None or now >= previous.usable_until:
                raise
            return previous
        else:
            status = TokenStatus.model_validate(response)
            scopes = frozenset(status.scopes)
            caller = Caller(token_name=status.name, scopes=scopes, person=status.person, session=status.session)
            usable_s = TTL_S if status.expires_in is None else min(TTL_S, status.expires_in)
            verification = Verification(caller, now, now + usable_s)
        self._cache.put(key, verification)
        return verification


def hash_secret(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
