"""Removes deleted apps: notifies the scheduler until it answers, then deletes the clone and the built-in repository."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

from libs.common import log
from libs.common.db import Database
from libs.common.errors import MeshError, NotFound
from libs.common.http.client import ServiceClient
from libs.common.periodic_task import PeriodicTask, for_each
from services.registry.apps import AppBeingRemoved
from services.registry.db import apps
from services.registry.git.cache import GitCache
from services.registry.git.hosted_repositories import HostedRepositories

WAIT_S = 10.0
"""How long a request for an app of the same name waits until the former one is gone."""
POLL_INTERVAL_S = 0.1


class AppRemover:
    def __init__(
        self, database: Database, git_cache: GitCache, hosted: HostedRepositories, scheduler: ServiceClient
    ) -> None:
        self._database = database
        self._git_cache = git_cache
        self._hosted = hosted
        self._scheduler = scheduler
        self._failures: dict[str, str] = {}
        """By app, why the last try failed."""
        self.loop = PeriodicTask("removals", self._remove_pending, math.inf)

    def wake(self) -> None:
        self.loop.wake()

    async def wait_until_removed(self, app: str) -> None:
        """Returns at once unless the app is being removed. Raises AppBeingRemoved when that takes long."""
        if app not in await self._list_removing():
            return
        self.wake()
        clock = asyncio.get_running_loop().time
        deadline = clock() + WAIT_S
        while app in await self._list_removing():
            if clock() >= deadline:
                raise AppBeingRemoved(app, self._failures.get(app))
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _list_removing(self) -> list[str]:
        async with self._database.read() as conn:
            return await apps.list_removing(conn)

    async def _remove_pending(self) -> None:
        await for_each(await self._list_removing(), self._remove_app)

    async def _remove_app(self, app: str) -> None:
        try:
            with suppress(NotFound):  # the scheduler has never seen the app
                await self._scheduler.delete(f"/internal/apps/{app}")
        except MeshError as error:
            self._failures[app] = error.detail
            raise
        self._failures.pop(app, None)
        await self._git_cache.delete(app)
        await self._hosted.delete(app)
        async with self._database.write() as conn:
            await apps.finish_removal(conn, app)
        log.get("registry").info("App removed", app=app)
