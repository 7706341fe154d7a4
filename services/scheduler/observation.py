"""Observation windows: silence means something only after an uninterrupted time of listening."""

from __future__ import annotations

import math


class ObservationWindow:
    """Whether this scheduler could have heard every worker for a whole lease.

    After a start, a pause of the process or an outage of the database nobody's silence means anything yet.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._observed_since = self._last_observed = -math.inf

    def observe(self, now: float) -> bool:
        """`now`: seconds of one monotonic clock, told at every step that the database answered."""
        if now - self._last_observed > self._lease / 2:
            self._observed_since = now
        self._last_observed = now
        return now - self._observed_since >= self._lease
