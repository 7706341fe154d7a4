"""Throttles wrong passwords: for one user from one network, and for all users from one network.

Both limits are leaky buckets. An attempt is counted before the check and refunded when the password is right, so
concurrent attempts get no further than sequential ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from libs.common.errors import TooManyRequests
from libs.common.http.client_network import get_client_network

MAX_BUCKETS = 10_000
"""Buckets kept for each limit; the least recently used is dropped."""


@dataclass(frozen=True)
class Limit:
    burst: int
    """Attempts without waiting."""
    refill_s: float
    """Seconds until one more attempt is allowed."""


USER_LIMIT = Limit(10, 6.0)
NETWORK_LIMIT = Limit(60, 1.0)


class LeakyBuckets:
    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._levels: dict[Hashable, tuple[float, float]] = {}
        """Level and the time it was computed; ordered by last use."""

    def get_wait_seconds(self, key: Hashable, now: float) -> float:
        """Seconds until the bucket has space for one; 0 when it has."""
        return max(0.0, (self._get_level(key, now) + 1 - self._limit.burst) * self._limit.refill_s)

    def add(self, key: Hashable, now: float, amount: float = 1) -> None:
        """Raise the level by `amount`; negative amounts lower it."""
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
        """Count one attempt. Raises TooManyRequests, without counting, at the limit."""
        network, now = get_client_network(address), self._clock()
        user_wait = self._users.get_wait_seconds((network, ns, user), now)
        network_wait = self._networks.get_wait_seconds(network, now)
        if user_wait or network_wait:
            scope = "for this user" if user_wait else "for different users"
            detail = f"too many wrong passwords {scope} from this address; wait before the next"
            raise TooManyRequests(detail, retry_after=max(user_wait, network_wait))
        self._users.add((network, ns, user), now)
        self._networks.add(network, now)

    def refund_attempt(self, address: str, ns: str, user: str) -> None:
        """Undo `count_attempt` after a right password, and clear the user's bucket."""
        network, now = get_client_network(address), self._clock()
        self._users.add((network, ns, user), now, -USER_LIMIT.burst)
        self._networks.add(network, now, -1)
