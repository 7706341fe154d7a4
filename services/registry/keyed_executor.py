"""Background work, one piece an app at a time and a few apps at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from libs.common import log
from libs.common.errors import MeshError


class KeyedExecutor:
    """A piece that raises is logged and ends; `again` is called when one was asked for while another ran."""

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
            self._log.warning("will be tried again", work=self._name, app=key, why=error.detail)
        except Exception as error:  # noqa: BLE001  one app's defect must not end the others' work: it is logged whole
            self._log.error("work failed", work=self._name, app=key, exc_info=error)
        finally:
            self._busy.discard(key)
            if key in self._missed:
                self._missed.discard(key)
                self._on_missed()
