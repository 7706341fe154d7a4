"""API tokens, as registry knows them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from libs.common.errors import Unauthorized, Unavailable
from libs.common.identity import Caller
from services.gateway.http_errors import NoCredentials
from services.gateway.internal_client import Service
from services.gateway.ttl_cache import KEPT_S, Memo

FRESH_S = 1.0
"""So long a token that was revoked may still be good."""
ANSWER_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Known:
    caller: Caller | None
    """None: the token is not valid."""
    asked_at: float
    good_until: float
    """Without registry."""


class Tokens:
    def __init__(self, registry: Service, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock = clock
        self._memo: Memo[str, Known] = Memo()
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def caller(self, token: str) -> Caller:
        """Raises NoCredentials when the token is not valid, Unavailable when that cannot be said now.

        While registry is away a token is what it was, no longer than it was made for.
        """
        key = digest(token)
        known = self._fresh(key)
        if known is None:
            async with self._asking.setdefault(key, asyncio.Lock()):
                known = self._fresh(key) or await self._ask(key, token)
        if known.caller is None:
            raise NoCredentials()
        return known.caller

    def _fresh(self, key: str) -> Known | None:
        known, now = self._memo.get(key), self._clock()
        return known if known is not None and now < min(known.asked_at + FRESH_S, known.good_until) else None

    async def _ask(self, key: str, token: str) -> Known:
        now = self._clock()
        try:
            found = await self._registry.ask(
                "POST", "/internal/tokens/verify", {"token": token}, timeout=ANSWER_TIMEOUT_S
            )
        except Unauthorized:
            known = Known(None, now, now + FRESH_S)
        except Unavailable:
            before = self._memo.get(key)
            if before is None or now >= before.good_until:
                raise
            return before
        else:
            caller = Caller(token_name=found["name"], scopes=frozenset(found["scopes"]))
            left = found.get("expires_in")
            known = Known(caller, now, now + (KEPT_S if left is None else min(KEPT_S, left)))
        self._memo.put(key, known)
        return known


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
