"""Which instance of a component gets a call, and how many calls may wait for one."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass

from libs.common.errors import TooManyRequests
from services.gateway.table import Component, Endpoint

QUEUE = 10
"""Calls that may wait, for each one that may run."""
REST_S = 1.0
"""How long an instance that failed is avoided, if there is another; twice as long with each further failure."""
MAX_REST_S = 30.0
MEMORY = 0.9
"""The share that a new measurement leaves to what was known."""
FORGET_S = 300.0


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


class Pick:
    """One instance, chosen for one call."""

    def __init__(self, endpoint: Endpoint, state: State) -> None:
        self.endpoint = endpoint
        self._state = state
        self._began = time.monotonic()

    def answered(self) -> None:
        state, took = self._state, time.monotonic() - self._began
        state.takes = MEMORY * state.takes + (1 - MEMORY) * took if state.takes else took
        state.failures, state.rests_until = 0, 0.0

    def failed(self) -> None:
        """It could not be reached, or broke off without an answer."""
        state = self._state
        state.rests_until = time.monotonic() + min(MAX_REST_S, REST_S * 2.0**state.failures)
        state.failures += 1


class Balance:
    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._swept = time.monotonic()

    def check(self, component: Component) -> None:
        """Raises TooManyRequests when all instances have as many calls as they may."""
        if not component.endpoints:
            return
        slots = component.concurrency * len(component.endpoints)
        states = [self._states[one.id] for one in component.endpoints if one.id in self._states]
        outstanding = sum(state.outstanding for state in states)
        if outstanding >= (QUEUE + 1) * slots:
            takes = max((state.takes for state in states), default=0.0)
            raise TooManyRequests(
                f"{component.name} has too many calls waiting", retry_after=max(1.0, takes * outstanding / slots)
            )

    def endpoints(self, component: Component) -> Generator[Pick, None, None]:
        """Each instance once, the least busy first, those that rest last; counted as busy until the next is wanted."""
        left = [(one, self._state(one.id)) for one in component.endpoints]
        while left:
            now = time.monotonic()
            best = min(left, key=lambda pair: (pair[1].rests_until > now, pair[1].outstanding))
            left.remove(best)
            state = best[1]
            state.outstanding += 1
            state.used = now
            try:
                yield Pick(*best)
            finally:
                state.outstanding -= 1

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
