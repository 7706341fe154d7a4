"""Polls remotes for new heads, for forges that cannot send webhooks: one `git ls-remote` an interval."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial

from libs.common.db import Database, database_time
from libs.common.errors import MeshError
from libs.common.periodic_task import PeriodicTask
from services.registry.apps import Repository
from services.registry.db import apps, deployments
from services.registry.deployments.state import (
    MAX_COUNTED_RETRIES,
    DeploymentTrigger,
    describe_failed_fetch,
    get_fetch_retry_time,
)
from services.registry.git.cache import GitCache
from services.registry.git.remotes import RemoteResolver
from services.registry.keyed_executor import KeyedExecutor

MIN_SCAN_INTERVAL_S = 1.0
"""The shortest time between scans, and so the shortest poll interval."""
CAUSE = "poll"
MAX_CONCURRENT_POLLS = 4
"""Remotes that are polled at the same time."""


class Poller:
    def __init__(
        self,
        database: Database,
        git_cache: GitCache,
        remotes: RemoteResolver,
        wake_worker: Callable[[], None],
        group: asyncio.TaskGroup,
    ) -> None:
        self._database = database
        self._git_cache = git_cache
        self._remotes = remotes
        self._wake_worker = wake_worker
        self._executor = KeyedExecutor("poll", group, MAX_CONCURRENT_POLLS, on_missed=lambda: None)
        self.loop = PeriodicTask("poll", self._start_due_polls, math.inf)

    async def _start_due_polls(self) -> None:
        async with self._database.read() as conn:
            seconds_left = await apps.seconds_until_poll(conn)
        if seconds_left is None:
            return
        self.loop.run_within(max(MIN_SCAN_INTERVAL_S, seconds_left))
        if seconds_left <= 0:
            async with self._database.write() as conn:
                due = await apps.claim_due_polls(conn, await database_time(conn))
                failed = await deployments.list_failed_apps(conn, [repository.app for repository in due])
            for repository in due:
                poll = partial(self._poll_repository, repository, has_failed=repository.app in failed)
                self._executor.submit(repository.app, poll)

    async def _poll_repository(self, repository: Repository, *, has_failed: bool) -> None:
        """`has_failed`: its newest deployment."""
        try:
            head = await self._git_cache.read_remote_head(await self._remotes.resolve(repository))
        except MeshError as error:
            await self._record_error(repository, error.detail)
            return
        if head != repository.head:
            await self._add_deployment(repository, head, is_retry=False)
        elif has_failed:
            await self._retry_failed_fetch(repository, head)
        else:
            await self._record_error(repository, None)

    async def _retry_failed_fetch(self, repository: Repository, head: str) -> None:
        """The head has not changed; deploy it again if its fetch failed and the back-off is over."""
        async with self._database.read() as conn:
            newest = await deployments.list_page(conn, repository.app, MAX_COUNTED_RETRIES)
            retry_time = get_fetch_retry_time(newest)
            is_due = retry_time is not None and retry_time <= await database_time(conn)
        if is_due:
            await self._add_deployment(repository, head, is_retry=True)
        else:
            await self._record_error(
                repository, None if retry_time is None else describe_failed_fetch(newest, head, retry_time)
            )

    async def _record_error(self, repository: Repository, poll_error: str | None) -> None:
        if poll_error != repository.poll_error:
            async with self._database.write() as conn:
                await apps.update_repository(conn, repository.app, poll_error=poll_error)

    async def _add_deployment(self, repository: Repository, head: str, *, is_retry: bool) -> None:
        """Add a deployment of a new head, or of a failed fetch (`is_retry`), unless a pending one awaits the head."""
        async with self._database.write() as conn:
            if await apps.get(conn, repository.app, lock=True) is None:
                return
            current = await apps.get_repository(conn, repository.app)
            newest = await deployments.get_latest(conn, repository.app)
            is_pending = newest is not None and newest.awaits_head
            if current is None or (current.head == head) is not is_retry:
                return
            if current.declared_fields() != repository.declared_fields() or is_pending:
                return
            await apps.update_repository(
                conn, repository.app, head=head, poll_error=current.poll_error if is_retry else None
            )
            now = await database_time(conn)
            await deployments.add(conn, repository.app, DeploymentTrigger.POLL, now, CAUSE)
        self._wake_worker()
