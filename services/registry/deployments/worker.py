"""Runs pending deployments: fetch, validate, write the revision, hand it to the scheduler.

Deployments of an app run one at a time in order. Of those that await the branch's head only the newest runs: a late
delivery of an older push changes nothing, and a push after a rollback runs after it. Two replicas may do the same work;
the transition is conditional on the status, so that one of them wins.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from libs.common.db import Database
from libs.common.errors import MeshError, Unavailable
from libs.common.messages import AccessChanged, RevisionReady
from libs.common.periodic_task import PeriodicTask
from services.registry.checks.problems import error_without_position, problem_to_json
from services.registry.db import apps, deployments
from services.registry.deployments.progress import DeploymentProgress, Superseded
from services.registry.deployments.push_decision import PushContext, find_existing_deployment, is_deploying
from services.registry.deployments.revision_reader import RevisionReader
from services.registry.deployments.state import Deployment, DeploymentTrigger, StepHistory, select_due
from services.registry.events import EventPublisher
from services.registry.git.cache import Commit, GitCache
from services.registry.git.error_messages import GitFailed
from services.registry.git.remotes import GitRemote, MissingCredentials, RemoteResolver
from services.registry.git.tree import InvalidRevision
from services.registry.keyed_executor import KeyedExecutor
from services.registry.open_deliveries import OpenDeliveries

MAX_CONCURRENT_DEPLOYMENTS = 4
"""Deployments of different apps that run at the same time."""
INTERNAL_ERROR = "internal error in the registry; its log has the details"


class DeploymentWorker:
    def __init__(
        self,
        database: Database,
        git_cache: GitCache,
        remotes: RemoteResolver,
        revisions: RevisionReader,
        events: EventPublisher,
        group: asyncio.TaskGroup,
        wake_status_sender: Callable[[], None],
        open_deliveries: OpenDeliveries,
        secret_sources: Mapping[str, str],
    ) -> None:
        """`secret_sources`: as in the settings."""
        self._database = database
        self._git_cache = git_cache
        self._remotes = remotes
        self._revisions = revisions
        self._events = events
        self._open_deliveries = open_deliveries
        self._progress = DeploymentProgress(database, wake_status_sender, secret_sources)
        self._executor = KeyedExecutor("deployment", group, MAX_CONCURRENT_DEPLOYMENTS, self.wake)
        self.loop = PeriodicTask("deployments", self._start_pending, math.inf)

    def wake(self) -> None:
        self.loop.wake()

    async def _start_pending(self) -> None:
        await self._open_deliveries.wait_until_answered()
        async with self._database.read() as conn:
            pending = await deployments.list_by_status(conn, "pending")
        for app in {deployment.app for deployment in pending}:
            self._executor.submit(
                app,
                partial(
                    self._deploy_in_order, select_due([deployment for deployment in pending if deployment.app == app])
                ),
            )

    async def _deploy_in_order(self, pending: list[Deployment]) -> None:
        for deployment in pending:
            await self._deploy_guarded(deployment)

    async def _deploy_guarded(self, deployment: Deployment) -> None:
        """Record any error in the deployment; if the database is unavailable, leave it for the next scan."""
        try:
            with suppress(Superseded):
                await self._deploy(deployment)
        except Unavailable:
            raise
        except Exception as error:
            message = error.detail if isinstance(error, MeshError) else INTERNAL_ERROR
            with suppress(Superseded):
                await self._progress.fail(deployment, StepHistory(deployment.steps), [error_without_position(message)])
            raise

    async def _deploy(self, deployment: Deployment) -> None:
        if deployment.revision is not None:
            self._publish_events(deployment, await self._progress.resume(deployment, deployment.revision))
            return
        try:
            _repository, remote = await self._remotes.resolve_app(deployment.app)
        except MissingCredentials as error:
            await self._progress.wait_for_credentials(deployment, error.detail)
        else:
            await self._deploy_from_git(deployment, remote)

    async def _deploy_from_git(self, deployment: Deployment, remote: GitRemote) -> None:
        steps = await self._progress.start(deployment)
        try:
            commit = await self._git_cache.fetch(deployment.app, remote, deployment.pinned_commit)
            if (existing := await self._find_duplicate(deployment, commit)) is not None:
                await self._progress.finish_unchanged(deployment, steps, commit, existing)
                return
            steps = await self._progress.record_commit(deployment, steps, commit)
            revision = await self._revisions.read_commit(deployment.app, commit.id, remote.path)
        except GitFailed as error:
            await self._progress.fail(deployment, steps, [error_without_position(error.detail)])
        except InvalidRevision as error:
            await self._progress.fail(deployment, steps, [problem_to_json(problem) for problem in error.problems])
        else:
            starting = await self._progress.save_revision(
                deployment, steps, commit, revision.catalog, revision.warnings
            )
            self._publish_events(deployment, starting)

    async def _find_duplicate(self, deployment: Deployment, commit: Commit) -> Deployment | None:
        """The deployment that already has this commit, when a push or a poll brought no new one."""
        if deployment.trigger not in (DeploymentTrigger.PUSH, DeploymentTrigger.POLL):
            return None
        async with self._database.read() as conn:
            repository = await apps.get_repository(conn, deployment.app)
            previous = await deployments.get_latest(conn, deployment.app, before_seq=deployment.seq)
            live = await deployments.get_live(conn, deployment.app)
        if previous is not None and is_deploying(previous, commit.id):
            return previous
        return find_existing_deployment(
            commit.id, PushContext(repository.abandoned_head if repository else None, previous, live)
        )

    def _publish_events(self, deployment: Deployment, starting: bool) -> None:
        if starting:
            self._events.publish_soon(
                RevisionReady(app=deployment.app, deployment=deployment.id), AccessChanged(app=deployment.app)
            )
