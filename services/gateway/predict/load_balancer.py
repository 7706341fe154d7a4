"""Which instance of a component gets a call, and how many calls may wait for one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from libs.common.errors import TooManyRequests
from services.gateway.routing.route_table import Component, Endpoint

MAX_QUEUED_PER_SLOT = 10
"""Calls that may wait, for each one that may run."""
EJECTION_S = 1.0
"""How long an instance that failed is avoided, if there is another; twice as long with each further failure."""
MAX_EJECTION_S = 30.0
RESERVE_DIVISOR = 10
"""One in so many places is not for who has all the others. In a queue it is beyond the places that one caller may have;
an application has no queue, and keeps it back."""
EWMA_DECAY = 0.9
"""The share that a new measurement leaves to what was known."""
STATS_TTL_S = 300.0

K = TypeVar("K", bound=Hashable)
Caller = tuple[str, str]
"""The app, and who calls there."""
InFlightCounts = Counter[tuple[Caller, str]]
"""Places by caller and component."""


@dataclass(slots=True)
class InstanceStats:
    """What calls have shown of one instance. Times are seconds of a monotonic clock."""

    last_used: float
    outstanding: int = 0
    latency_ewma: float = 0.0
    """Seconds of a call, a moving mean; 0 until one was answered."""
    consecutive_failures: int = 0
    """In a row."""
    ejected_until: float = 0.0


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    per_caller: int
    """Places that one caller may have."""
    total: int

    def is_reached(self, in_flight: int, in_flight_of_caller: int) -> bool:
        """For a caller who has `own` of those that are taken."""
        return in_flight >= self.per_caller and (in_flight >= self.total or in_flight_of_caller >= self.per_caller)


class InstancePicker:
    """The instances of a component for one call: each once, the least busy first, those that rest last.

    An instance counts as busy until the next is wanted or the turn is closed.
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
            stats.consecutive_failures, stats.ejected_until = 0, 0.0

    def record_failure(self) -> None:
        """It could not be reached, or broke off without an answer."""
        if (stats := self._stats) is not None:
            stats.ejected_until = time.monotonic() + min(MAX_EJECTION_S, EJECTION_S * 2.0**stats.consecutive_failures)
            stats.consecutive_failures += 1

    def release_instance(self) -> None:
        if self._stats is not None:
            self._stats.outstanding -= 1
            self._stats = None

    def close(self) -> None:
        """The call is over, once; its caller has this place no longer."""
        self.release_instance()
        decrement(self._in_flight, self._in_flight_key)


def decrement(counts: Counter[K], key: K) -> None:
    """One place less; who has none is forgotten."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


class LoadBalancer:
    def __init__(self) -> None:
        self._stats: dict[str, InstanceStats] = {}
        self._in_flight: InFlightCounts = Counter()
        self._swept_at = time.monotonic()

    def admit_call(self, component: Component, caller: Caller) -> InstancePicker:
        """Raises TooManyRequests when all instances have as many calls as they may, or nearly all are this caller's."""
        candidates = [(endpoint, self._get_stats(endpoint.id)) for endpoint in component.endpoints]
        slots = component.concurrency * len(candidates)
        outstanding = sum([stats.outstanding for _, stats in candidates])
        key = (caller, component.name)
        limit = (
            build_web_app_limit(slots) if component.is_web_app else build_queue_limit(slots * (MAX_QUEUED_PER_SLOT + 1))
        )
        if candidates and limit.is_reached(outstanding, self._in_flight[key]):
            latency = max(state.latency_ewma for _, state in candidates)
            raise TooManyRequests(
                f"{component.name} has too many calls waiting", retry_after=max(1.0, latency * outstanding / slots)
            )
        return InstancePicker(candidates, self._in_flight, key)

    def _get_stats(self, instance: str) -> InstanceStats:
        stats = self._stats.get(instance)
        if stats is None:
            self._drop_idle_stats()
            stats = self._stats[instance] = InstanceStats(last_used=time.monotonic())
        return stats

    def _drop_idle_stats(self) -> None:
        """Forget instances that are gone, as far as calls can show that."""
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
