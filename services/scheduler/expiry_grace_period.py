"""Grace period of expiry: after a start or an outage, silence of workers and gateways counts only after a lease."""

from __future__ import annotations

import math


class ExpiryGracePeriod:
    """Whether this scheduler was up, and the database reachable, for a whole lease.

    After a start, a pause of the process or an outage of the database, leases must not expire yet.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._observed_since = self._last_observed = -math.inf

    def observe(self, now: float) -> bool:
        """Note that the database answered at `now` (monotonic seconds). True once the grace period is over."""
        if now - self._last_observed > self._lease / 2:
            self._observed_since = now
        self._last_observed = now
        return now - self._observed_since >= self._lease
