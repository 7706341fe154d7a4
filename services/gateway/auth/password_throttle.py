"""How many wrong passwords may be tried: for one user from an address, and for all users from an address.

Both are buckets that fill again with time. What was tried is counted before it is checked, and a right password is
given back, so that many at once get no further than one after another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from libs.common.errors import TooManyRequests
from services.gateway.proxy.forwarded import get_client_network

MAX_BUCKETS = 10_000
"""Buckets that are remembered, of each kind."""


@dataclass(frozen=True)
class Limit:
    burst: int
    """At once."""
    refill_s: float
    """Seconds until one more may be tried."""


USER_LIMIT = Limit(10, 6.0)
NETWORK_LIMIT = Limit(60, 1.0)


class LeakyBuckets:
    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._levels: dict[Hashable, tuple[float, float]] = {}
        """How much is used up, and when that was so; the one that was touched last is last."""

    def get_wait_seconds(self, key: Hashable, now: float) -> float:
        """Seconds until something may be taken; 0 when it may be now."""
        return max(0.0, (self._get_level(key, now) + 1 - self._limit.burst) * self._limit.refill_s)

    def add(self, key: Hashable, now: float, amount: float = 1) -> None:
        """Negative: give back."""
        level = max(0.0, self._get_level(key, now) + amount)
        self._levels.pop(key, None)
        if len(self._levels) >= MAX_BUCKETS:
            del self._levels[next(iter(self._levels))]
        if level:
            self._levels[key] = (level, now)

    def _get_level(self, key: Hashable, now: float) -> float:
        level, at = self._levels.get(key, (0.0, now))
        return max(0.0, level - (now - at) / self._limit.refill_s)


class PasswordThrottle:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._users, self._networks = LeakyBuckets(USER_LIMIT), LeakyBuckets(NETWORK_LIMIT)

    def count_attempt(self, address: str, ns: str, user: str) -> None:
        """Counts one try. Raises TooManyRequests, with nothing counted, when there were too many."""
        network, now = get_client_network(address), self._clock()
        user_wait = self._users.get_wait_seconds((network, ns, user), now)
        network_wait = self._networks.get_wait_seconds(network, now)
        if user_wait or network_wait:
            who = "for this user" if user_wait else "for different users"
            detail = f"too many wrong passwords {who} from this address; wait before the next"
            raise TooManyRequests(detail, retry_after=max(user_wait, network_wait))
        self._users.add((network, ns, user), now)
        self._networks.add(network, now)

    def refund_attempt(self, address: str, ns: str, user: str) -> None:
        """The try that was counted was none."""
        network, now = get_client_network(address), self._clock()
        self._users.add((network, ns, user), now, -USER_LIMIT.burst)
        self._networks.add(network, now, -1)
