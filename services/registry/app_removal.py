"""Removes deleted apps: notifies the scheduler until it answers, then deletes the clone and the built-in repository."""

from __future__ import annotations

from contextlib import suppress

from libs.common import log
from libs.common.db import Database
from libs.common.errors import NotFound
from libs.common.http.client import ServiceClient
from libs.common.periodic_task import PeriodicTask
from services.registry.db import apps
from services.registry.git.cache import GitCache
from services.registry.git.hosted_repositories import HostedRepositories

RETRY_INTERVAL_S = 15.0


class AppRemover:
    def __init__(
        self, database: Database, git_cache: GitCache, hosted: HostedRepositories, scheduler: ServiceClient
    ) -> None:
        self._database = database
        self._git_cache = git_cache
        self._hosted = hosted
        self._scheduler = scheduler
        self.loop = PeriodicTask("removals", self._remove_pending, RETRY_INTERVAL_S)

    def wake(self) -> None:
        self.loop.wake()

    async def _remove_pending(self) -> None:
        async with self._database.read() as conn:
            app_names = await apps.list_removing(conn)
        for app in app_names:
            await self._remove_app(app)

    async def _remove_app(self, app: str) -> None:
        with suppress(NotFound):  # the scheduler has never seen the app
            await self._scheduler.delete(f"/internal/apps/{app}")
        await self._git_cache.delete(app)
        await self._hosted.delete(app)
        async with self._database.write() as conn:
            await apps.finish_removal(conn, app)
        log.get("registry").info("App removed", app=app)
