"""Which instance of a component gets a call, and how many calls may wait for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

from libs.common.errors import TooManyRequests
from services.gateway.table import Component, Endpoint

QUEUE = 10
"""Calls that may wait, for each one that may run."""


class Balance:
    def __init__(self) -> None:
        self._outstanding: Counter[str] = Counter()

    def check(self, component: Component) -> None:
        """Raises TooManyRequests when all instances have as many calls as they may."""
        room = (QUEUE + 1) * component.concurrency * len(component.endpoints)
        if component.endpoints and sum(self._outstanding[one.id] for one in component.endpoints) >= room:
            raise TooManyRequests(f"{component.name} has too many calls waiting", retry_after=1.0)

    def endpoints(self, component: Component) -> Generator[Endpoint, None, None]:
        """Each endpoint once, the least busy first; counted as busy until the next is asked for."""
        left = list(component.endpoints)
        while left:
            chosen = min(left, key=lambda one: self._outstanding[one.id])
            left.remove(chosen)
            self._outstanding[chosen.id] += 1
            try:
                yield chosen
            finally:
                self._outstanding[chosen.id] -= 1
                if not self._outstanding[chosen.id]:
                    del self._outstanding[chosen.id]
