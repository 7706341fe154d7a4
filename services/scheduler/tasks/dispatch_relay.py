"""The relay: rings for what is ready and was not rung for by who made it so, best first.

One that nobody took is rung again only while some worker has room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from libs.common.db import database_time
from libs.common.errors import Unavailable
from services.scheduler.db import Connection, ready_queue, workers
from services.scheduler.dependencies import Dependencies
from services.scheduler.model.task import ReadyTask
from services.scheduler.model.worker import Worker
from services.scheduler.tasks.dispatcher import DEFAULT_CLASSES

WINDOW_SIZE = 64
"""Doorbells that may wait in the broker,"""
PER_SLOT = 4
"""or so many for each slot."""
REDISPATCH_AFTER_S = 10.0
REDISPATCH_CHECK_S = 2.0


class DispatchRelay:
    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._last_check = 0.0

    async def run_once(self) -> None:
        """Ring for what is ready. Raises Unavailable when the broker is away: what was not rung for stays as it is."""
        dispatcher = self._deps.dispatcher
        async with self._deps.db.read() as conn:
            now = await database_time(conn)
            selected = await self._select(conn, now)
        if published := await dispatcher.publish(selected):
            async with self._deps.db.write() as conn:
                await ready_queue.mark_dispatched(conn, [task.task for task in published], now)
        if len(published) < len(selected):
            raise Unavailable("the message broker takes no doorbells at the moment")
        await dispatcher.retry_failed()

    async def _select(self, conn: Connection, now: float) -> list[ReadyTask]:
        """New ones where few are rung for, many at a time; old ones that nobody took, where somebody has room."""
        all_workers, dispatched = await workers.list_workers(conn), await ready_queue.count_dispatched(conn)
        window, app_limit = (
            max(WINDOW_SIZE, PER_SLOT * sum(worker.slots for worker in all_workers)),
            self._deps.settings.app_stages,
        )
        low_classes = [
            resource_class for resource_class in DEFAULT_CLASSES if dispatched.get(resource_class, 0) < window / 2
        ]
        undispatched = (
            await ready_queue.list_undispatched(conn, low_classes, None, window // 2, app_limit) if low_classes else []
        )
        waiting_by_class = Counter(dispatched) + Counter(task.resource_class for task in undispatched)
        # with a limit, one may be rung for in vain: this look alone knows whose turn it is
        self._deps.dispatcher.refill(
            {}
            if app_limit
            else {resource_class: window - waiting_by_class[resource_class] for resource_class in DEFAULT_CLASSES}
        )
        if not self._is_redispatch_due(now) or not (free_classes := classes_with_free_slots(all_workers, now)):
            return undispatched
        return [
            *undispatched,
            *await ready_queue.list_undispatched(conn, free_classes, now - REDISPATCH_AFTER_S, WINDOW_SIZE, app_limit),
        ]

    def _is_redispatch_due(self, now: float) -> bool:
        """Whether those that nobody took are to be looked at: now and then."""
        if now - self._last_check < REDISPATCH_CHECK_S:
            return False
        self._last_check = now
        return True


def classes_with_free_slots(candidates: Iterable[Worker], now: float) -> frozenset[str]:
    """The classes of which some living worker has room."""
    available = [worker for worker in candidates if worker.free > 0 and now - worker.seen_at < REDISPATCH_AFTER_S]
    return frozenset(resource_class for worker in available for resource_class in worker.classes)
