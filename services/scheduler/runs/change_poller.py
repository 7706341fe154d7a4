"""Polls the versions of all watched runs once a second, to notify waiters of changes by other schedulers."""

from __future__ import annotations

from collections.abc import Sequence

from libs.common.db import Database
from services.scheduler import long_poll_notifier
from services.scheduler.db import runs
from services.scheduler.long_poll_notifier import LongPollNotifier

POLL_S = 1.0
MAX_QUERY_RUNS = 1000
"""Runs per query."""


class RunChangePoller:
    def __init__(self, db: Database, notifier: LongPollNotifier) -> None:
        self._db, self._notifier = db, notifier
        self._seen: dict[str, int] = {}
        """Last seen version of each watched run."""

    async def poll(self) -> None:
        """Notify for changed runs, and for newly watched ones: their change may have come before the first poll."""
        versions: dict[str, int] = {}
        watched = self._notifier.list_watched_runs()
        for start in range(0, len(watched), MAX_QUERY_RUNS):
            versions |= await self._load_versions(watched[start : start + MAX_QUERY_RUNS])
        for run, version in versions.items():
            if self._seen.get(run) != version:
                self._notifier.notify(long_poll_notifier.run_changed(run))
                self._notifier.notify(long_poll_notifier.run_ended(run))
        self._seen = versions

    async def _load_versions(self, watched: Sequence[str]) -> dict[str, int]:
        async with self._db.read() as conn:
            return await runs.get_versions(conn, watched)
