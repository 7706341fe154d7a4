"""Ready relay: publishes ready tasks that their transaction did not dispatch, in scheduling order.

A task that no worker has claimed is published again only while some worker has a free slot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from libs.common.db import Database, database_time
from libs.common.errors import Unavailable
from services.scheduler.db import Connection, ready_tasks, workers
from services.scheduler.model.task import ReadyTask
from services.scheduler.model.worker import Worker
from services.scheduler.tasks.ready_publisher import DEFAULT_CLASSES, ReadyPublisher

WINDOW_SIZE = 64
"""How many messages may wait in the broker,"""
PER_SLOT = 4
"""or how many for each slot of all workers, if that is more."""
REDISPATCH_AFTER_S = 10.0
REDISPATCH_CHECK_S = 2.0


class ReadyRelay:
    """Keeps the window of messages filled."""

    def __init__(self, db: Database, publisher: ReadyPublisher, app_limit: int | None) -> None:
        """`app_limit`: how many stages of one app may run at a time."""
        self._db, self._publisher, self._app_limit = db, publisher, app_limit
        self._last_check = 0.0

    async def run_once(self) -> None:
        """Publish ready tasks. Raises Unavailable when the broker rejects some; those stay undispatched."""
        async with self._db.read() as conn:
            now = await database_time(conn)
            selected = await self._select(conn, now)
        if published := await self._publisher.publish(selected):
            async with self._db.write() as conn:
                await ready_tasks.mark_dispatched(conn, [task.task for task in published], now)
        if len(published) < len(selected):
            raise Unavailable("the message broker is not accepting messages")
        await self._publisher.retry_failed()

    async def _select(self, conn: Connection, now: float) -> list[ReadyTask]:
        """Undispatched tasks of classes whose window is half empty, and unclaimed ones of classes with free slots."""
        all_workers = await workers.list_workers(conn)
        dispatched = await ready_tasks.count_dispatched(conn)
        window = max(WINDOW_SIZE, PER_SLOT * sum(worker.slots for worker in all_workers))
        low_classes = [name for name in DEFAULT_CLASSES if dispatched.get(name, 0) < window / 2]
        selected: list[ReadyTask] = []
        if low_classes:
            selected = await ready_tasks.list_undispatched(conn, low_classes, None, window // 2, self._app_limit)
        waiting = Counter(dispatched) + Counter(task.resource_class for task in selected)
        # with a limit, a dispatched task may not be claimable: only this query knows the order
        self._publisher.refill({} if self._app_limit else {name: window - waiting[name] for name in DEFAULT_CLASSES})
        if self._is_redispatch_due(now) and (free_classes := classes_with_free_slots(all_workers, now)):
            dispatched_before = now - REDISPATCH_AFTER_S
            selected += await ready_tasks.list_undispatched(
                conn, free_classes, dispatched_before, WINDOW_SIZE, self._app_limit
            )
        return selected

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
