"""How many more runs of each app may wait, and what time it is: as counted a moment ago."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

COUNT_AGAIN_S = 0.25


@dataclass
class Count:
    left: int
    now: float
    """Epoch seconds on the database's clock, when it was counted."""
    at: float
    """The same on this process's own clock."""


class Room:
    def __init__(self) -> None:
        self._counts: dict[str, Count] = {}

    def counted(self, left: Mapping[str, int], now: float) -> None:
        self._counts |= {app: Count(number, now, time.monotonic()) for app, number in left.items()}

    def take(self, wanted: Mapping[str, int]) -> float | None:
        """The time in epoch seconds if there is room for all, which they have then; None: it is to be counted."""
        at = time.monotonic()
        counts = {app: self._counts.get(app) for app in wanted}
        known = [one for one in counts.values() if one is not None and at - one.at < COUNT_AGAIN_S]
        if len(known) < len(counts) or any(one.left < wanted[app] for app, one in counts.items() if one):
            return None
        for app, number in wanted.items():
            self._counts[app].left -= number
        return known[0].now + (at - known[0].at)
