"""How many wrong passwords may be tried: for one user from an address, and for all users from an address.

Both are buckets that fill again with time. What was tried is counted before it is checked, and a right password is
given back, so that many at once get no further than one after another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

from libs.common.errors import TooManyRequests

ENTRIES = 10_000
"""Buckets that are remembered, of each kind."""
ROUTED = 64
"""Bits of an IPv6 address that a provider gives a customer: the others are the customer's own to vary."""


@dataclass(frozen=True)
class Limit:
    most: int
    """At once."""
    every: float
    """Seconds until one more may be tried."""


OF_USER = Limit(10, 6.0)
OF_ADDRESS = Limit(60, 1.0)


class Buckets:
    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._used: dict[Hashable, tuple[float, float]] = {}
        """How much is used up, and when that was so; the one that was touched last is last."""

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until something may be taken; 0 when it may be now."""
        return max(0.0, (self._now(key, now) + 1 - self._limit.most) * self._limit.every)

    def take(self, key: Hashable, now: float, number: float = 1) -> None:
        """Negative: give back."""
        used = max(0.0, self._now(key, now) + number)
        self._used.pop(key, None)
        if len(self._used) >= ENTRIES:
            del self._used[next(iter(self._used))]
        if used:
            self._used[key] = (used, now)

    def _now(self, key: Hashable, now: float) -> float:
        used, at = self._used.get(key, (0.0, now))
        return max(0.0, used - (now - at) / self._limit.every)


class Guesses:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of_user, self._of_address = Buckets(OF_USER), Buckets(OF_ADDRESS)

    def begin(self, address: str, ns: str, user: str) -> None:
        """Counts one try. Raises TooManyRequests, with nothing counted, when there were too many."""
        network, now = network_of(address), self._clock()
        of_user = self._of_user.wait((network, ns, user), now)
        of_address = self._of_address.wait(network, now)
        if of_user or of_address:
            who = "for this user" if of_user else "for different users"
            detail = f"too many wrong passwords {who} from this address; wait before the next"
            raise TooManyRequests(detail, retry_after=max(of_user, of_address))
        self._of_user.take((network, ns, user), now)
        self._of_address.take(network, now)

    def right(self, address: str, ns: str, user: str) -> None:
        """The try that was counted was none."""
        network, now = network_of(address), self._clock()
        self._of_user.take((network, ns, user), now, -OF_USER.most)
        self._of_address.take(network, now, -1)


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What one caller has of addresses."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Network((int(found), ROUTED), strict=False))
    return str(found)
