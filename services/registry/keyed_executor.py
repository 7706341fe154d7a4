"""Background work, one piece an app at a time and a few apps at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from libs.common import log
from libs.common.errors import MeshError


class PerApp:
    """A piece that raises is logged and ends; `again` is called when one was asked for while another ran."""

    def __init__(self, name: str, group: asyncio.TaskGroup, at_once: int, again: Callable[[], None]) -> None:
        self._name = name
        self._group = group
        self._slots = asyncio.Semaphore(at_once)
        self._again = again
        self._busy: set[str] = set()
        self._missed: set[str] = set()
        self._log = log.get("registry")

    def start(self, app: str, work: Callable[[], Awaitable[None]]) -> None:
        if app in self._busy:
            self._missed.add(app)
            return
        self._busy.add(app)
        self._group.create_task(self._run(app, work))

    async def _run(self, app: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            async with self._slots:
                await work()
        except MeshError as error:
            self._log.warning("will be tried again", work=self._name, app=app, why=error.detail)
        except Exception as error:  # noqa: BLE001  one app's defect must not end the others' work: it is logged whole
            self._log.error("work failed", work=self._name, app=app, exc_info=error)
        finally:
            self._busy.discard(app)
            if app in self._missed:
                self._missed.discard(app)
                self._again()
