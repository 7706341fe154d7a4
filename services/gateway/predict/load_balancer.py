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

QUEUE = 10
"""Calls that may wait, for each one that may run."""
REST_S = 1.0
"""How long an instance that failed is avoided, if there is another; twice as long with each further failure."""
MAX_REST_S = 30.0
RESERVE = 10
"""One in so many places is not for who has all the others. In a queue it is beyond the places that one caller may have;
an application has no queue, and keeps it back."""
MEMORY = 0.9
"""The share that a new measurement leaves to what was known."""
FORGET_S = 300.0

K = TypeVar("K", bound=Hashable)
Caller = tuple[str, str]
"""The app, and who calls there."""
Held = Counter[tuple[Caller, str]]
"""Places by caller and component."""


@dataclass(slots=True)
class State:
    """What calls have shown of one instance. Times are seconds of a monotonic clock."""

    used: float
    outstanding: int = 0
    takes: float = 0.0
    """Seconds of a call, a moving mean; 0 until one was answered."""
    failures: int = 0
    """In a row."""
    rests_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Share:
    of_one: int
    """Places that one caller may have."""
    of_all: int

    def is_used_up(self, taken: int, own: int) -> bool:
        """For a caller who has `own` of those that are taken."""
        return taken >= self.of_one and (taken >= self.of_all or own >= self.of_one)


class Turn:
    """The instances of a component for one call: each once, the least busy first, those that rest last.

    An instance counts as busy until the next is wanted or the turn is closed.
    """

    __slots__ = ("_began", "_held", "_left", "_place", "_state")

    def __init__(self, left: list[tuple[Endpoint, State]], held: Held, place: tuple[Caller, str]) -> None:
        self._left = left
        self._held = held
        self._place = place
        held[place] = held.get(place, 0) + 1
        self._state: State | None = None
        self._began = 0.0

    def next(self) -> Endpoint | None:
        self.close()
        if not self._left:
            return None
        now = self._began = time.monotonic()
        best = self._left[0]
        if len(self._left) > 1:
            best = min(self._left, key=lambda pair: (pair[1].rests_until > now, pair[1].outstanding))
        self._left.remove(best)
        endpoint, state = best
        state.outstanding += 1
        state.used = now
        self._state = state
        return endpoint

    def answered(self) -> None:
        if (state := self._state) is not None:
            took = time.monotonic() - self._began
            state.takes = MEMORY * state.takes + (1 - MEMORY) * took if state.takes else took
            state.failures, state.rests_until = 0, 0.0

    def failed(self) -> None:
        """It could not be reached, or broke off without an answer."""
        if (state := self._state) is not None:
            state.rests_until = time.monotonic() + min(MAX_REST_S, REST_S * 2.0**state.failures)
            state.failures += 1

    def close(self) -> None:
        if self._state is not None:
            self._state.outstanding -= 1
            self._state = None

    def end(self) -> None:
        """The call is over, once; its caller has this place no longer."""
        self.close()
        release(self._held, self._place)


def release(held: Counter[K], key: K) -> None:
    """One place less; who has none is forgotten."""
    held[key] -= 1
    if not held[key]:
        del held[key]


class Balance:
    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._held: Held = Counter()
        self._swept = time.monotonic()

    def turn(self, component: Component, caller: Caller) -> Turn:
        """Raises TooManyRequests when all instances have as many calls as they may, or nearly all are this caller's."""
        each = [(one, self._state(one.id)) for one in component.endpoints]
        slots = component.concurrency * len(each)
        outstanding = sum([state.outstanding for _, state in each])
        place = (caller, component.name)
        share = in_application(slots) if component.own_routes else in_queue(slots * (QUEUE + 1))
        if each and share.is_used_up(outstanding, self._held[place]):
            takes = max(state.takes for _, state in each)
            raise TooManyRequests(
                f"{component.name} has too many calls waiting", retry_after=max(1.0, takes * outstanding / slots)
            )
        return Turn(each, self._held, place)

    def _state(self, instance: str) -> State:
        found = self._states.get(instance)
        if found is None:
            self._sweep()
            found = self._states[instance] = State(used=time.monotonic())
        return found

    def _sweep(self) -> None:
        """Forget instances that are gone, as far as calls can show that."""
        now = time.monotonic()
        if now - self._swept > FORGET_S:
            self._swept = now
            kept = {name: s for name, s in self._states.items() if s.outstanding or now - s.used < FORGET_S}
            self._states = kept


@lru_cache(maxsize=1024)
def in_queue(places: int) -> Share:
    return Share(places, places + max(1, places // RESERVE))


@lru_cache(maxsize=1024)
def in_application(places: int) -> Share:
    return Share(places - (0 if places == 1 else max(1, places // RESERVE)), places)
