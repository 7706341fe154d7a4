"""Passwords of people: the rule for new ones, and checks against their hashes, a few at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from libs.common.errors import Invalid, TooManyRequests
from libs.common.http.client_network import get_client_network
from libs.common.passwords import DUMMY_HASH, HASHER, verify_hash

MIN_CHARACTERS = 12
MAX_CHARACTERS = 1000
MAX_CONCURRENT = 2
"""Each hash keeps a processor busy for some milliseconds."""
FAILURES = 5
WINDOW_S = 300.0
"""So many wrong passwords for one name from one address within this time; then none is checked."""
NETWORK_FAILURES = 60
NETWORK_WINDOW_S = 60.0
"""So many wrong passwords for whatever names from one network: each costs a hash."""
MAX_ENTRIES = 10_000
"""Names with networks that are remembered, and networks; the oldest is forgotten."""
MAX_WAITING = 50
"""Passwords that wait for their check; more are refused at once."""


def check_new_password(password: str) -> None:
    """Raises Invalid."""
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        raise Invalid(f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters; this one has {len(password)}")


Attempts = dict[tuple[str, str], tuple[float, ...]]
"""Times of attempts, by name and network."""


class SignInThrottle:
    """Counts wrong passwords: for a name from a network, and for all names from a network."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: Attempts = {}
        self._of_networks: Attempts = {}

    def count_attempt(self, name: str, address: str) -> None:
        """Count it as wrong until `forget`: attempts at once count, too. Raises TooManyRequests, without counting."""
        now, network = self._clock(), get_client_network(address)
        recent = _list_recent(self._failures, (name, network), now - WINDOW_S)
        of_network = _list_recent(self._of_networks, ("", network), now - NETWORK_WINDOW_S)
        wait = recent[0] + WINDOW_S - now if len(recent) >= FAILURES else 0.0
        if len(of_network) >= NETWORK_FAILURES:
            wait = max(wait, of_network[0] + NETWORK_WINDOW_S - now)
        if wait:
            raise TooManyRequests("too many wrong passwords; wait before the next", retry_after=max(1.0, wait))
        _remember(self._failures, (name, network), (*recent, now))
        _remember(self._of_networks, ("", network), (*of_network, now))

    def forget(self, name: str, address: str) -> None:
        """The password was right."""
        network = get_client_network(address)
        self._failures.pop((name, network), None)
        _remember(self._of_networks, ("", network), self._of_networks.get(("", network), ())[:-1])


def _list_recent(attempts: Attempts, key: tuple[str, str], since: float) -> tuple[float, ...]:
    return tuple(at for at in attempts.get(key, ()) if at > since)


def _remember(attempts: Attempts, key: tuple[str, str], times: tuple[float, ...]) -> None:
    attempts.pop(key, None)
    if len(attempts) >= MAX_ENTRIES:
        del attempts[next(iter(attempts))]
    attempts[key] = times


class PasswordChecks:
    """Hashes and verifies in threads, a few at a time, and lets only so many wait. Raises TooManyRequests."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MAX_CONCURRENT)
        self._waiting = 0

    async def hash_password(self, password: str) -> str:
        async with self._take_place():
            return await asyncio.to_thread(HASHER.hash, password)

    async def is_right(self, stored: str | None, password: str) -> bool:
        """Whether this is the password; takes as long for an account that has none."""
        async with self._take_place():
            return await asyncio.to_thread(verify_hash, stored or DUMMY_HASH, password) and stored is not None

    @asynccontextmanager
    async def _take_place(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            raise TooManyRequests("too many passwords are being checked; try again", retry_after=1.0)
        self._waiting += 1
        try:
            async with self._places:
                yield
        finally:
            self._waiting -= 1
