"""Publishes `file.changed` events when the files of a box change."""

from __future__ import annotations

from libs.common.bus import Bus
from libs.common.messages import FileChanged
from libs.common.periodic_task import PeriodicTask

IDLE_INTERVAL_S = 3600.0
"""The loop has nothing to do until `mark_changed` wakes it."""


class BoxChangePublisher:
    """Publishes in the background and retries until the bus accepts the event; callers never wait for it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._pending: set[tuple[str, str]] = set()
        self.loop = PeriodicTask("databox change publisher", self.publish_pending, IDLE_INTERVAL_S)

    def mark_changed(self, app: str, box: str) -> None:
        self._pending.add((app, box))
        self.loop.wake()

    async def publish_pending(self) -> None:
        for app, box in sorted(self._pending):
            self._pending.discard((app, box))
            try:
                await self._bus.publish(FileChanged(app=app, box=box))
            except BaseException:
                self._pending.add((app, box))
                raise
