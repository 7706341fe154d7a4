"""How many calls a second each caller may make: a bucket for each, with room for the calls of one second."""

from __future__ import annotations

import time
from dataclasses import dataclass

from libs.common.errors import TooManyRequests

SWEEP_S = 10.0


@dataclass(slots=True)
class Bucket:
    calls: float
    """That may be made at once."""
    at: float


class Rates:
    def __init__(self, rate: float | None) -> None:
        """`rate`: calls a second; None: any number."""
        self._rate = rate
        self._room = max(1.0, rate or 0.0)
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._swept = time.monotonic()

    def check(self, ns: str, caller: str) -> None:
        """Counts one call; raises TooManyRequests when there were too many."""
        if self._rate is None:
            return
        now = time.monotonic()
        self._sweep(now)
        bucket = self._buckets.setdefault((ns, caller), Bucket(self._room, now))
        bucket.calls = min(self._room, bucket.calls + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.calls < 1:
            detail = f"a caller may make {self._rate:g} calls a second here"
            raise TooManyRequests(detail, retry_after=(1 - bucket.calls) / self._rate)
        bucket.calls -= 1

    def _sweep(self, now: float) -> None:
        """A bucket that is full again says nothing."""
        if self._rate is not None and now - self._swept > SWEEP_S:
            self._swept = now
            full = self._room / self._rate
            self._buckets = {name: one for name, one in self._buckets.items() if now - one.at < full}
