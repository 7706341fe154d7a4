"""A cached quota of queued runs per app, and an estimate of the database's clock, from a recent count."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

REFRESH_S = 0.25


@dataclass
class QuotaSample:
    remaining: int
    database_time: float
    """Database time of the count, in epoch seconds."""
    sampled_at: float
    """Monotonic time of the count."""


class QueuedRunQuotaCache:
    def __init__(self) -> None:
        self._samples: dict[str, QuotaSample] = {}

    def refresh(self, remaining: Mapping[str, int], now: float) -> None:
        self._samples |= {app: QuotaSample(number, now, time.monotonic()) for app, number in remaining.items()}

    def try_reserve(self, requested: Mapping[str, int]) -> float | None:
        """Reserve for all. The database time if the cached counts allow it; None if a new count is required."""
        now = time.monotonic()
        samples = {app: self._samples.get(app) for app in requested}
        fresh = [sample for sample in samples.values() if sample is not None and now - sample.sampled_at < REFRESH_S]
        if len(fresh) < len(samples) or any(
            sample.remaining < requested[app] for app, sample in samples.items() if sample
        ):
            return None
        for app, number in requested.items():
            self._samples[app].remaining -= number
        return fresh[0].database_time + (now - fresh[0].sampled_at)
