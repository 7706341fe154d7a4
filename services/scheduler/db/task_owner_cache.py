"""Task owner cache: the app and the run of claimed tasks, which never change and which each report looks up."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db.connection_caches import get_cache

MAX_OWNERS = 10_000
TaskOwner = tuple[str, str | None]
"""App and run; an instance has no run."""


class TaskOwnerCache:
    """One for each database; a full one is emptied."""

    OPTION = "task_owner_cache"

    def __init__(self, max_owners: int = MAX_OWNERS) -> None:
        self._max_owners = max_owners
        self._owners: dict[str, TaskOwner] = {}

    @classmethod
    def for_connection(cls, conn: AsyncConnection) -> TaskOwnerCache:
        return get_cache(conn, cls.OPTION, cls)

    def get(self, task: str) -> TaskOwner | None:
        return self._owners.get(task)

    def put(self, task: str, owner: TaskOwner) -> None:
        if len(self._owners) >= self._max_owners:
            self._owners.clear()
        self._owners[task] = owner
