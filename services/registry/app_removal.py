"""Tells the scheduler of deleted apps until it has heard, and drops what this host keeps of them."""

from __future__ import annotations

from contextlib import suppress

from libs.common.db import Database
from libs.common.errors import NotFound
from libs.common.http.client import Peer
from libs.common.periodic_task import Loop
from services.registry.db import apps
from services.registry.git.cache import Source

AGAIN_S = 15.0


class Remover:
    def __init__(self, database: Database, source: Source, scheduler: Peer) -> None:
        self._database = database
        self._source = source
        self._scheduler = scheduler
        self.loop = Loop("removals", self._step, AGAIN_S)

    def wake(self) -> None:
        self.loop.wake()

    async def _step(self) -> None:
        async with self._database.read() as c:
            gone = await apps.removing(c)
        for app in gone:
            await self._remove(app)

    async def _remove(self, app: str) -> None:
        with suppress(NotFound):  # it never knew the app, which is as good
            await self._scheduler.delete(f"/internal/apps/{app}")
        await self._source.forget(app)
        async with self._database.write() as c:
            await apps.removed(c, app)
