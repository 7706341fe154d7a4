"""Leader election: one scheduler at a time runs the loops that decide."""

from __future__ import annotations

import logging
import os
import socket
import time

from libs.common import log
from libs.common.db import Database
from services.scheduler.db import leader

LEADERSHIP = "loops"
LEADER_LEASE_S = 6.0
"""The longest time without a leader after one was killed."""
LEADER_RENEW_S = 2.0


class LeaderElection:
    """A lease in the database, valid by the local monotonic clock, so that a stalled leader steps down."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{id(self):x}"
        self._leader_until = 0.0
        self._holds_lease = False

    @property
    def is_leader(self) -> bool:
        return time.monotonic() < self._leader_until

    async def renew_leadership(self) -> None:
        started = time.monotonic()
        async with self._db.write(single_statement=True) as conn:
            acquired = await leader.acquire_leadership(conn, LEADERSHIP, self._owner, LEADER_LEASE_S)
        self._leader_until = started + LEADER_LEASE_S - LEADER_RENEW_S if acquired else 0.0
        if acquired != self._holds_lease:
            self._holds_lease = acquired
            self._log_change("Leadership gained" if acquired else "Leadership lost")

    async def resign(self) -> None:
        """Release the lease at shutdown, so that the next leader need not wait for it to expire."""
        if self.is_leader:
            self._leader_until = 0.0
            async with self._db.write(single_statement=True) as conn:
                await leader.release_leadership(conn, LEADERSHIP, self._owner)
            self._log_change("Leadership released")

    def _log_change(self, event: str) -> None:
        """Log at info where other schedulers may lead; on a database of its own, a scheduler always leads."""
        level = logging.INFO if self._db.shared else logging.DEBUG
        log.get("scheduler").log(level, event, owner=self._owner)
