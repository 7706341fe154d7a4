"""Keeps the built-in repositories small: merges packs and deletes what nothing refers to, while nobody pushes."""

from __future__ import annotations

from libs.common.periodic_task import PeriodicTask, for_each
from services.registry.git.hosted_repositories import HostedRepositories
from services.registry.hosting.push_receiver import PushReceiver

INTERVAL_S = 6 * 3600.0


class RepositoryMaintenance:
    def __init__(self, hosted: HostedRepositories, receiver: PushReceiver) -> None:
        self._hosted = hosted
        self._receiver = receiver
        self.loop = PeriodicTask("repository maintenance", self._maintain_all, INTERVAL_S)

    async def _maintain_all(self) -> None:
        idle = [app for app in self._hosted.list_apps() if not self._receiver.slots.is_held(app)]
        await for_each(idle, self._maintain)

    async def _maintain(self, app: str) -> None:
        await self._hosted.remove_leftovers(app)
        await self._hosted.maintain(app)
