"""Load balancer: least outstanding calls, outlier ejection, and a bounded queue for each component."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from libs.common import log
from libs.common.errors import TooManyRequests
from libs.common.protocol.route_table import Endpoint
from services.gateway.routing.route_table import Component

MAX_QUEUED_PER_SLOT = 10
"""Calls that may wait for each one that runs."""
EJECTION_S = 1.0
"""How long a failed instance is the last choice; doubles with each consecutive failure."""
MAX_EJECTION_S = 30.0
RESERVE_DIVISOR = 10
"""One in ten places is reserved for other callers when one caller has all the rest: on top of the queue of a function,
within the concurrency of a web application, which has no queue."""
EWMA_DECAY = 0.9
"""Weight of the previous mean in the moving average of latency."""
STATS_TTL_S = 300.0
"""Statistics of an instance are dropped after this time without calls."""

K = TypeVar("K", bound=Hashable)
Caller = tuple[str, str]
"""App, and user or client network."""
InFlightCounts = Counter[tuple[Caller, str]]
"""Calls in flight by caller and component."""


@dataclass(slots=True)
class InstanceStats:
    """Statistics of one instance. Times are seconds of a monotonic clock."""

    instance: str
    last_used: float
    outstanding: int = 0
    latency_ewma: float = 0.0
    """Moving average of seconds per call; 0 before the first response."""
    consecutive_failures: int = 0
    ejected_until: float = 0.0


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    per_caller: int
    """Calls in flight that one caller may have."""
    total: int

    def is_reached(self, in_flight: int, in_flight_of_caller: int) -> bool:
        """Whether a caller with `in_flight_of_caller` of the calls in flight gets no more."""
        return in_flight >= self.per_caller and (in_flight >= self.total or in_flight_of_caller >= self.per_caller)


class InstancePicker:
    """The instances of a component for one call: each once, by outstanding calls, ejected ones last.

    A picked instance counts the call as outstanding until the next pick or `close`.
    """

    __slots__ = ("_candidates", "_in_flight", "_in_flight_key", "_picked_at", "_stats")

    def __init__(
        self, candidates: list[tuple[Endpoint, InstanceStats]], in_flight: InFlightCounts, key: tuple[Caller, str]
    ) -> None:
        self._candidates = candidates
        self._in_flight = in_flight
        self._in_flight_key = key
        in_flight[key] = in_flight.get(key, 0) + 1
        self._stats: InstanceStats | None = None
        self._picked_at = 0.0

    def pick_next(self) -> Endpoint | None:
        self.release_instance()
        if not self._candidates:
            return None
        now = self._picked_at = time.monotonic()
        best = self._candidates[0]
        if len(self._candidates) > 1:
            best = min(self._candidates, key=lambda pair: (pair[1].ejected_until > now, pair[1].outstanding))
        self._candidates.remove(best)
        endpoint, stats = best
        stats.outstanding += 1
        stats.last_used = now
        self._stats = stats
        return endpoint

    def record_success(self) -> None:
        if (stats := self._stats) is not None:
            latency = time.monotonic() - self._picked_at
            stats.latency_ewma = (
                EWMA_DECAY * stats.latency_ewma + (1 - EWMA_DECAY) * latency if stats.latency_ewma else latency
            )
            if stats.consecutive_failures:
                stats.consecutive_failures, stats.ejected_until = 0, 0.0
                self._log_event("Instance returned to load balancing")

    def record_failure(self) -> None:
        """The instance was unreachable, or closed the connection without a response: eject it for a while."""
        if (stats := self._stats) is not None:
            now, seconds = time.monotonic(), min(MAX_EJECTION_S, EJECTION_S * 2.0**stats.consecutive_failures)
            is_new = stats.ejected_until <= now
            stats.ejected_until = now + seconds
            stats.consecutive_failures += 1
            if is_new:  # one line for all calls that fail together
                self._log_event(
                    "Instance ejected from load balancing", seconds=seconds, failures=stats.consecutive_failures
                )

    def release_instance(self) -> None:
        if self._stats is not None:
            self._stats.outstanding -= 1
            self._stats = None

    def close(self) -> None:
        """End the call; to be called once."""
        self.release_instance()
        decrement(self._in_flight, self._in_flight_key)

    def _log_event(self, event: str, **fields: float) -> None:
        if (stats := self._stats) is not None:
            (app, _), component = self._in_flight_key
            log.get("gateway").warning(event, app=app, component=component, instance=stats.instance, **fields)


def decrement(counts: Counter[K], key: K) -> None:
    """Subtract one; keys with a count of 0 are removed."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


class LoadBalancer:
    def __init__(self) -> None:
        self._stats: dict[str, InstanceStats] = {}
        self._in_flight: InFlightCounts = Counter()
        self._swept_at = time.monotonic()

    def admit_call(self, component: Component, caller: Caller) -> InstancePicker:
        """Count a call in. Raises TooManyRequests when the queue is full, for the component or for this caller."""
        candidates = [(endpoint, self._get_stats(endpoint.id)) for endpoint in component.endpoints]
        slots = component.concurrency * len(candidates)
        outstanding = sum([stats.outstanding for _, stats in candidates])
        key = (caller, component.name)
        limit = (
            build_web_app_limit(slots) if component.is_web_app else build_queue_limit(slots * (MAX_QUEUED_PER_SLOT + 1))
        )
        if candidates and limit.is_reached(outstanding, self._in_flight[key]):
            latency = max(stats.latency_ewma for _, stats in candidates)
            raise TooManyRequests(
                f"{component.name} has too many calls waiting", retry_after=max(1.0, latency * outstanding / slots)
            )
        return InstancePicker(candidates, self._in_flight, key)

    def _get_stats(self, instance: str) -> InstanceStats:
        stats = self._stats.get(instance)
        if stats is None:
            self._drop_idle_stats()
            stats = self._stats[instance] = InstanceStats(instance, last_used=time.monotonic())
        return stats

    def _drop_idle_stats(self) -> None:
        """Drop statistics of instances that get no more calls, at most every `STATS_TTL_S`."""
        now = time.monotonic()
        if now - self._swept_at > STATS_TTL_S:
            self._swept_at = now
            active = {
                name: stats
                for name, stats in self._stats.items()
                if stats.outstanding or now - stats.last_used < STATS_TTL_S
            }
            self._stats = active


@lru_cache(maxsize=1024)
def build_queue_limit(capacity: int) -> ConcurrencyLimit:
    return ConcurrencyLimit(capacity, capacity + max(1, capacity // RESERVE_DIVISOR))


@lru_cache(maxsize=1024)
def build_web_app_limit(capacity: int) -> ConcurrencyLimit:
    return ConcurrencyLimit(capacity - (0 if capacity == 1 else max(1, capacity // RESERVE_DIVISOR)), capacity)
