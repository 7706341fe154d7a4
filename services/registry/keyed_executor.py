"""Runs background jobs: one at a time for each key, with a limit on all together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from libs.common import log
from libs.common.errors import MeshError


class KeyedExecutor:
    """Logs a job that raises and goes on; calls `on_missed` when a job was submitted while its key was busy."""

    def __init__(self, name: str, group: asyncio.TaskGroup, max_concurrent: int, on_missed: Callable[[], None]) -> None:
        self._name = name
        self._group = group
        self._slots = asyncio.Semaphore(max_concurrent)
        self._on_missed = on_missed
        self._busy: set[str] = set()
        self._missed: set[str] = set()
        self._log = log.get("registry")

    def submit(self, key: str, job: Callable[[], Awaitable[None]]) -> None:
        if key in self._busy:
            self._missed.add(key)
            return
        self._busy.add(key)
        self._group.create_task(self._run_job(key, job))

    async def _run_job(self, key: str, job: Callable[[], Awaitable[None]]) -> None:
        try:
            async with self._slots:
                await job()
        except MeshError as error:
            self._log.warning("Background job failed; will retry", job=self._name, app=key, why=error.detail)
        except Exception as error:  # noqa: BLE001  a bug in one app's job must not stop the others; logged with its traceback
            self._log.error("Background job crashed", job=self._name, app=key, exc_info=error)
        finally:
            self._busy.discard(key)
            if key in self._missed:
                self._missed.discard(key)
                self._on_missed()
