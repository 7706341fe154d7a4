"""Passwords of people: the rule for new ones, and checks against their hashes, a few at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from argon2.exceptions import InvalidHashError, VerificationError

from libs.common.errors import Invalid, TooManyRequests
from libs.common.passwords import DUMMY_HASH, HASHER

MIN_CHARACTERS = 12
MAX_CHARACTERS = 1000
MAX_CONCURRENT = 2
"""Each hash keeps a processor busy for some milliseconds."""
FAILURES = 5
WINDOW_S = 300.0
"""So many wrong passwords for one name from one address within this time; then none is checked."""
MAX_ENTRIES = 10_000
"""Names with addresses that are remembered; the oldest is forgotten."""


def check_new_password(password: str) -> None:
    """Raises Invalid."""
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        raise Invalid(f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters; this one has {len(password)}")


class SignInThrottle:
    """Counts wrong passwords for a name from an address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[tuple[str, str], tuple[float, ...]] = {}

    def check(self, name: str, address: str) -> None:
        """Raises TooManyRequests."""
        recent = self._list_recent(name, address)
        if len(recent) >= FAILURES:
            wait = recent[0] + WINDOW_S - self._clock()
            raise TooManyRequests("too many wrong passwords; wait before the next", retry_after=max(1.0, wait))

    def count_failure(self, name: str, address: str) -> None:
        recent = self._list_recent(name, address)
        self._failures.pop((name, address), None)
        if len(self._failures) >= MAX_ENTRIES:
            del self._failures[next(iter(self._failures))]
        self._failures[name, address] = (*recent, self._clock())[-FAILURES:]

    def forget(self, name: str, address: str) -> None:
        self._failures.pop((name, address), None)

    def _list_recent(self, name: str, address: str) -> tuple[float, ...]:
        since = self._clock() - WINDOW_S
        return tuple(at for at in self._failures.get((name, address), ()) if at > since)


class PasswordChecks:
    """Hashes and verifies in threads."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MAX_CONCURRENT)

    async def hash_password(self, password: str) -> str:
        async with self._places:
            return await asyncio.to_thread(HASHER.hash, password)

    async def is_right(self, stored: str | None, password: str) -> bool:
        """Whether this is the password; takes as long for an account that has none."""
        async with self._places:
            return await asyncio.to_thread(_verify, stored or DUMMY_HASH, password) and stored is not None


def _verify(hashed: str, password: str) -> bool:
    try:
        return HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False
