"""Checks Basic passwords against Argon2 hashes in a few threads, with a cache and a throttle: a check is expensive."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

from libs.common.errors import TooManyRequests
from libs.common.passwords import DUMMY_HASH, verify_hash
from services.gateway.auth.password_throttle import PasswordThrottle
from services.gateway.routing.route_table import App
from services.gateway.ttl_cache import TTLCache

MAX_CONCURRENT_CHECKS = 2
"""Each check keeps a processor busy for some milliseconds."""
CHECK_TIMEOUT_S = 10.0
"""How long a check may wait for a thread and run."""

CheckKey = tuple[str, str, str, str, str]
"""App, secret, user, the hash there, and the digest of the password: a changed password is a changed hash."""


class PasswordChecker:
    def __init__(self, verify: Callable[[str, str], bool] = verify_hash) -> None:
        self._verify = verify
        self._throttle = PasswordThrottle()
        self._cache: TTLCache[CheckKey, bool] = TTLCache()
        self._locks: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT_CHECKS, "passwords")

    async def find_matching_secrets(
        self, app: App, secrets: Collection[str], user: str, password: str, address: Callable[[], str]
    ) -> frozenset[str]:
        """The secrets that contain this user with this password. Raises TooManyRequests.

        Unknown users are checked against a dummy hash, so the time taken does not reveal which users exist.
        """
        digest = hashlib.sha256(password.encode()).hexdigest()
        keys = [(app.ns, secret, user, app.users.get(secret, {}).get(user, ""), digest) for secret in secrets]
        if (matching := self._get_cached(keys)) is None:
            async with self._locks.setdefault((app.ns, user, digest), asyncio.Lock()):
                if (matching := self._get_cached(keys)) is None:
                    matching = await self._check_all(app.ns, user, keys, password, address())
        return matching

    def _get_cached(self, keys: Collection[CheckKey]) -> frozenset[str] | None:
        results = {key: self._cache.get(key) for key in keys}
        return None if None in results.values() else frozenset(key[1] for key, is_match in results.items() if is_match)

    async def _check_all(
        self, ns: str, user: str, keys: Collection[CheckKey], password: str, address: str
    ) -> frozenset[str]:
        self._throttle.count_attempt(address, ns, user)
        results = {key: await self._matches_hash(key[3], password) for key in keys}
        for key, is_match in results.items():
            self._cache.put(key, is_match)
        if any(results.values()):
            self._throttle.refund_attempt(address, ns, user)
        return frozenset(key[1] for key, is_match in results.items() if is_match)

    async def _matches_hash(self, hashed: str, password: str) -> bool:
        check = asyncio.get_running_loop().run_in_executor(self._threads, self._verify, hashed or DUMMY_HASH, password)
        try:
            return await asyncio.wait_for(check, CHECK_TIMEOUT_S) and bool(hashed)
        except TimeoutError as error:
            raise TooManyRequests("too many password checks in progress", retry_after=CHECK_TIMEOUT_S) from error
