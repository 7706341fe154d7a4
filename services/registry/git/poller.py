"""Asks Git for the heads of the branches, for those whose forge cannot call: one `ls-remote` an interval."""

from __future__ import annotations

import asyncio
from functools import partial

from libs.common.db import Database, clock
from libs.common.errors import MeshError
from libs.common.periodic_task import Loop
from services.registry.apps import Repository
from services.registry.db import apps, deployments
from services.registry.deployments.state import RETRIES_COUNTED, Cause, retry_at, unfetched
from services.registry.deployments.worker import Deployer
from services.registry.git.cache import Source
from services.registry.git.remotes import Origins
from services.registry.keyed_executor import PerApp

LOOK_S = 5.0
"""How often it is seen which repositories are due, when none is due sooner: one may have been added or changed."""
SHORTEST_S = 1.0
"""Between two looks; no interval can be shorter."""
AT_ONCE = 4
"""Repositories that are asked at the same time."""


class Poller:
    def __init__(
        self, database: Database, source: Source, origins: Origins, deployer: Deployer, group: asyncio.TaskGroup
    ) -> None:
        self._database = database
        self._source = source
        self._origins = origins
        self._deployer = deployer
        self._work = PerApp("poll", group, AT_ONCE, again=lambda: None)
        self.loop = Loop("poll", self._look, LOOK_S)

    async def _look(self) -> None:
        async with self._database.read() as c:
            left = await apps.until_due(c)
            due = await apps.due(c, await clock(c)) if left is not None and left <= 0 else []
        if left is not None:
            self.loop.hurry(max(SHORTEST_S, left))
        for repository in due:
            self._work.start(repository.app, partial(self._poll, repository))

    async def _poll(self, repository: Repository) -> None:
        async with self._database.write() as c:
            if not await apps.take_turn(c, repository, await clock(c)):
                return
        try:
            head = await self._source.head(await self._origins.of(repository))
        except MeshError as error:
            await self._told(repository, error.detail)
            return
        if head != repository.head:
            await self._deploy(repository, head, seen=False)
        else:
            await self._settle(repository, head)

    async def _settle(self, repository: Repository, head: str) -> None:
        """Nothing was pushed since; but a fetch of it may have failed."""
        async with self._database.read() as c:
            newest, now = await deployments.page(c, repository.app, RETRIES_COUNTED), await clock(c)
        again = retry_at(newest)
        if again is not None and again <= now:
            await self._deploy(repository, head, seen=True)
        else:
            await self._told(repository, None if again is None else unfetched(newest, head, again))

    async def _told(self, repository: Repository, why: str | None) -> None:
        if why != repository.poll_error:
            async with self._database.write() as c:
                await apps.saw(c, repository.app, poll_error=why)

    async def _deploy(self, polled: Repository, head: str, *, seen: bool) -> None:
        """Deploy a head that is new, or was `seen` and not fetched, unless a deployment is about to ask Git anyway."""
        async with self._database.write() as c:
            if await apps.get(c, polled.app, lock=True) is None:
                return
            present = await apps.repository(c, polled.app)
            newest = await deployments.latest(c, polled.app)
            asking = newest is not None and newest.asks
            if present is None or (present.head == head) is not seen:
                return
            if present.declared() != polled.declared() or asking:
                return
            await apps.saw(c, polled.app, head=head, poll_error=present.poll_error if seen else None)
            await deployments.add(c, polled.app, Cause.POLL, await clock(c))
        self._deployer.wake()
