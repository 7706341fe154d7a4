"""Whether a password is right. Checking one is work: it is done once for each, and not for who only guesses."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

from argon2.exceptions import InvalidHashError, VerificationError

from libs.common.errors import TooManyRequests
from libs.common.passwords import HASHER
from services.gateway.auth.password_throttle import Guesses
from services.gateway.routing.route_table import App
from services.gateway.ttl_cache import Memo

AT_ONCE = 2
"""Passwords checked at the same time: each takes a CPU for a moment."""
WITHIN_S = 10.0
"""A check waits no longer for its turn."""

Shown = tuple[str, str, str, str, str]
"""App, secret, user, the hash there, and the digest of the password: a changed password is a changed hash."""


def verified(hashed: str, password: str) -> bool:
    try:
        return HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


class Passwords:
    def __init__(self, verify: Callable[[str, str], bool] = verified) -> None:
        self._verify = verify
        self._nobody = HASHER.hash("nobody")
        self._guesses = Guesses()
        self._memo: Memo[Shown, bool] = Memo()
        self._checks: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()
        self._threads = ThreadPoolExecutor(AT_ONCE, "passwords")

    async def right(
        self, app: App, secrets: Collection[str], user: str, password: str, address: Callable[[], str]
    ) -> frozenset[str]:
        """Those of the secrets that hold this user with this password. Raises TooManyRequests.

        A user who is in none of them takes as long as one who is: how long it takes tells nothing.
        """
        digest = hashlib.sha256(password.encode()).hexdigest()
        shown = [(app.ns, one, user, app.users.get(one, {}).get(user, ""), digest) for one in secrets]
        if (known := self._known(shown)) is None:
            async with self._checks.setdefault((app.ns, user, digest), asyncio.Lock()):
                if (known := self._known(shown)) is None:
                    known = await self._checked(app.ns, user, shown, password, address())
        return known

    def _known(self, shown: Collection[Shown]) -> frozenset[str] | None:
        found = {one: self._memo.get(one) for one in shown}
        return None if None in found.values() else frozenset(one[1] for one, good in found.items() if good)

    async def _checked(
        self, ns: str, user: str, shown: Collection[Shown], password: str, address: str
    ) -> frozenset[str]:
        self._guesses.begin(address, ns, user)
        found = {one: await self._matches(one[3], password) for one in shown}
        for one, good in found.items():
            self._memo.put(one, good)
        if any(found.values()):
            self._guesses.right(address, ns, user)
        return frozenset(one[1] for one, good in found.items() if good)

    async def _matches(self, hashed: str, password: str) -> bool:
        check = asyncio.get_running_loop().run_in_executor(
            self._threads, self._verify, hashed or self._nobody, password
        )
        try:
            return await asyncio.wait_for(check, WITHIN_S) and bool(hashed)
        except TimeoutError as error:
            raise TooManyRequests("too many passwords are checked at the moment", retry_after=WITHIN_S) from error
