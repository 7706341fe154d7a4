"""Dispatch relay: publishes ready tasks that their transaction did not dispatch, in scheduling order.

A task that no worker has claimed is published again only while some worker has a free slot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from libs.common.db import Database, database_time
from libs.common.errors import Unavailable
from services.scheduler.db import Connection, ready_queue, workers
from services.scheduler.model.task import ReadyTask
from services.scheduler.model.worker import Worker
from services.scheduler.tasks.dispatcher import DEFAULT_CLASSES, TaskDispatcher

WINDOW_SIZE = 64
"""How many messages may wait in the broker,"""
PER_SLOT = 4
"""or how many for each slot of all workers, if that is more."""
REDISPATCH_AFTER_S = 10.0
REDISPATCH_CHECK_S = 2.0


class DispatchRelay:
    """Keeps the window of messages filled."""

    def __init__(self, db: Database, dispatcher: TaskDispatcher, app_limit: int | None) -> None:
        """`app_limit`: how many stages of one app may run at a time."""
        self._db, self._dispatcher, self._app_limit = db, dispatcher, app_limit
        self._last_check = 0.0

    async def run_once(self) -> None:
        """Publish ready tasks. Raises Unavailable when the broker rejects some; those stay undispatched."""
        async with self._db.read() as conn:
            now = await database_time(conn)
            selected = await self._select(conn, now)
        if published := await self._dispatcher.publish(selected):
            async with self._db.write() as conn:
                await ready_queue.mark_dispatched(conn, [task.task for task in published], now)
        if len(published) < len(selected):
            raise Unavailable("the message broker is not accepting messages")
        await self._dispatcher.retry_failed()

    async def _select(self, conn: Connection, now: float) -> list[ReadyTask]:
        """Undispatched tasks of classes whose window is half empty, and unclaimed ones of classes with free slots."""
        all_workers, dispatched = await workers.list_workers(conn), await ready_queue.count_dispatched(conn)
        window, app_limit = (
            max(WINDOW_SIZE, PER_SLOT * sum(worker.slots for worker in all_workers)),
            self._app_limit,
        )
        low_classes = [
            resource_class for resource_class in DEFAULT_CLASSES if dispatched.get(resource_class, 0) < window / 2
        ]
        undispatched = (
            await ready_queue.list_undispatched(conn, low_classes, None, window // 2, app_limit) if low_classes else []
        )
        waiting_by_class = Counter(dispatched) + Counter(task.resource_class for task in undispatched)
        # with a limit, a dispatched task may not be claimable: only this query knows the order
        self._dispatcher.refill(
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
        """Whether to check unclaimed tasks again; at most every `REDISPATCH_CHECK_S`."""
        if now - self._last_check < REDISPATCH_CHECK_S:
            return False
        self._last_check = now
        return True


def classes_with_free_slots(candidates: Iterable[Worker], now: float) -> frozenset[str]:
    """Resource classes for which some live worker has a free slot."""
    available = [worker for worker in candidates if worker.free > 0 and now - worker.seen_at < REDISPATCH_AFTER_S]
    return frozenset(resource_class for worker in available for resource_class in worker.classes)
