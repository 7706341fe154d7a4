"""Leader election: one scheduler at a time runs the loops that decide."""

from __future__ import annotations

import os
import socket
import time

from libs.common.db import Database
from services.scheduler.db import leader

LEADERSHIP = "loops"
LEADER_LEASE_S = 6.0
"""How long the loops may stand still after the leader was killed."""
LEADER_RENEW_S = 2.0


class LeaderElection:
    """Whether this scheduler leads, on its own monotonic clock, so that a stalled one stops believing it."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{id(self):x}"
        self._leader_until = 0.0

    @property
    def is_leader(self) -> bool:
        return time.monotonic() < self._leader_until

    async def renew_leadership(self) -> None:
        started = time.monotonic()
        async with self._db.write() as conn:
            acquired = await leader.acquire_leadership(conn, LEADERSHIP, self._owner, LEADER_LEASE_S)
        self._leader_until = started + LEADER_LEASE_S - LEADER_RENEW_S if acquired else 0.0

    async def resign(self) -> None:
        """At a stop in order: the next one need not wait."""
        if self.is_leader:
            self._leader_until = 0.0
            async with self._db.write() as conn:
                await leader.release_leadership(conn, LEADERSHIP, self._owner)
