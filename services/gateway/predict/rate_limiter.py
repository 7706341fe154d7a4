"""Rate limit of calls per caller: a token bucket each, which holds the calls of one second."""

from __future__ import annotations

import time
from dataclasses import dataclass

from libs.common.errors import TooManyRequests

SWEEP_S = 10.0


@dataclass(slots=True)
class Bucket:
    tokens: float
    """Calls that may be made now."""
    updated_at: float


class RateLimiter:
    def __init__(self, rate: float | None) -> None:
        """`rate`: calls per second; None: unlimited."""
        self._rate = rate
        self._burst = max(1.0, rate or 0.0)
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._swept_at = time.monotonic()

    def check(self, ns: str, caller: str) -> None:
        """Count one call. Raises TooManyRequests at the limit."""
        if self._rate is None:
            return
        now = time.monotonic()
        self._drop_full_buckets(now)
        bucket = self._buckets.setdefault((ns, caller), Bucket(self._burst, now))
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.updated_at) * self._rate)
        bucket.updated_at = now
        if bucket.tokens < 1:
            detail = f"rate limit exceeded: {self._rate:g} calls per second for each caller"
            raise TooManyRequests(detail, retry_after=(1 - bucket.tokens) / self._rate)
        bucket.tokens -= 1

    def _drop_full_buckets(self, now: float) -> None:
        """Full buckets are equal to new ones."""
        if self._rate is not None and now - self._swept_at > SWEEP_S:
            self._swept_at = now
            refill_seconds = self._burst / self._rate
            self._buckets = {
                name: bucket for name, bucket in self._buckets.items() if now - bucket.updated_at < refill_seconds
            }
