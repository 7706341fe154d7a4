"""One look a second for all who wait for runs: what another scheduler has changed rings here, too."""

from __future__ import annotations

from collections.abc import Sequence

from services.scheduler import notifications
from services.scheduler.db import runs
from services.scheduler.dependencies import Parts

LOOK_S = 1.0
AT_ONCE = 1000
"""Runs in one query."""


class Lookout:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._seen: dict[str, int] = {}
        """The version of each run that somebody waits for."""

    async def look(self) -> None:
        """Rings for what has changed, and for what is looked at for the first time: its change may have come before."""
        found: dict[str, int] = {}
        wanted = self._parts.bells.runs()
        for start in range(0, len(wanted), AT_ONCE):
            found |= await self._versions(wanted[start : start + AT_ONCE])
        for run, version in found.items():
            if self._seen.get(run) != version:
                self._parts.bells.ring(notifications.run(run))
                self._parts.bells.ring(notifications.end(run))
        self._seen = found

    async def _versions(self, wanted: Sequence[str]) -> dict[str, int]:
        async with self._parts.db.read() as c:
            return await runs.get_versions(c, wanted)
