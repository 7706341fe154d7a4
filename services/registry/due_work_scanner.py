"""Scans for due work that no event announced: of another replica, of a later time, or left by a failure.

One statement for all loops: a scan by each of them would be most of what an idle registry costs.
"""

from __future__ import annotations

from collections.abc import Mapping

from libs.common.db import Database
from libs.common.periodic_task import PeriodicTask
from services.registry.db import due_work
from services.registry.db.due_work import DueKind

SCAN_INTERVAL_S = 5.0


class DueWorkScanner:
    def __init__(self, database: Database, loops: Mapping[DueKind, PeriodicTask]) -> None:
        """`loops` by the kind of work that wakes them."""
        self._database = database
        self._loops = loops
        self.loop = PeriodicTask("due work", self.wake_loops, SCAN_INTERVAL_S)

    async def wake_loops(self) -> None:
        async with self._database.read() as conn:
            due = await due_work.find_due_work(conn)
        for kind in due:
            self._loops[kind].wake()
