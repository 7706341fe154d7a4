"""Task run cache: the app and the run of claimed tasks, which never change and which each report looks up."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db.database_caches import get_cache

MAX_TASKS = 10_000
AppAndRun = tuple[str, str | None]
"""Of a task; an instance has no run."""


class TaskRunCache:
    """One for each database; a full one is emptied."""

    OPTION = "task_run_cache"

    def __init__(self, max_tasks: int = MAX_TASKS) -> None:
        self._max_tasks = max_tasks
        self._entries: dict[str, AppAndRun] = {}

    @classmethod
    def for_connection(cls, conn: AsyncConnection) -> TaskRunCache:
        return get_cache(conn, cls.OPTION, cls)

    def get(self, task: str) -> AppAndRun | None:
        return self._entries.get(task)

    def put(self, task: str, app_and_run: AppAndRun) -> None:
        if len(self._entries) >= self._max_tasks:
            self._entries.clear()
        self._entries[task] = app_and_run
