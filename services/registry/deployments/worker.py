"""From a pending deployment to one that the scheduler starts: fetch, validate, write the revision, announce.

One deployment of an app at a time, in their order. Of those that ask Git for the branch's head only the newest: an
older push that arrives late changes nothing, one behind a rollback has its turn after it. Two replicas may do the same
work; the change of status is guarded, and one of them wins.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

from libs.common.db import Database
from libs.common.errors import MeshError, Unavailable
from libs.common.manifests import Problem
from libs.common.manifests.catalog import Catalog
from libs.common.messages import AccessChanged, RevisionReady
from libs.common.periodic_task import Loop
from libs.common.python_packages import unread
from libs.common.repository_tree import left_out
from services.registry.checks.catalog import check
from services.registry.checks.deployment_warnings import stopped
from services.registry.checks.problems import plain_error, shown
from services.registry.db import apps, deployments, secrets
from services.registry.deployments.progress import Journal, Overtaken
from services.registry.deployments.push_decision import Scene, carries, settled
from services.registry.deployments.state import Cause, Deployment, Steps, due
from services.registry.events import Doorbell
from services.registry.git.cache import Commit, Source
from services.registry.git.error_messages import GitFailed
from services.registry.git.remotes import Incomplete, Origin, Origins
from services.registry.git.tree import Refused
from services.registry.keyed_executor import PerApp

SWEEP_S = 5.0
"""How often pending deployments are looked for without a ring: one that another replica took, or that waited."""
AT_ONCE = 4
"""Deployments of different apps that are fetched and checked at the same time."""
DEFECT = "an error in the registry stopped this deployment; its log has the details"


class Deployer:
    def __init__(
        self,
        database: Database,
        source: Source,
        origins: Origins,
        doorbell: Doorbell,
        group: asyncio.TaskGroup,
        *,
        processes: bool = False,
    ) -> None:
        """`processes`: the workers run no containers."""
        self._processes = processes
        self._database = database
        self._source = source
        self._origins = origins
        self._doorbell = doorbell
        self._journal = Journal(database)
        self._work = PerApp("deployment", group, AT_ONCE, self.wake)
        self.loop = Loop("deployments", self._look, SWEEP_S)

    def wake(self) -> None:
        self.loop.wake()

    async def _look(self) -> None:
        async with self._database.read() as c:
            pending = await deployments.with_status(c, "pending")
        for app in {one.app for one in pending}:
            self._work.start(app, partial(self._in_order, due([one for one in pending if one.app == app])))

    async def _in_order(self, pending: list[Deployment]) -> None:
        for deployment in pending:
            await self._guarded(deployment)

    async def _guarded(self, deployment: Deployment) -> None:
        """Whatever happens is told in the deployment; only a lost database leaves it for the next look."""
        try:
            with suppress(Overtaken):
                await self._carry_out(deployment)
        except Unavailable:
            raise
        except Exception as error:
            why = error.detail if isinstance(error, MeshError) else DEFECT
            with suppress(Overtaken):
                await self._journal.fail(deployment, Steps(deployment.steps), [plain_error(why)])
            raise

    async def _carry_out(self, deployment: Deployment) -> None:
        if deployment.revision is not None:
            self._announce(deployment, await self._journal.resume(deployment, deployment.revision))
            return
        try:
            _repository, origin = await self._origins.of_app(deployment.app)
        except Incomplete as error:
            await self._journal.wait(deployment, error.detail)
        else:
            await self._from_git(deployment, origin)

    async def _from_git(self, deployment: Deployment, origin: Origin) -> None:
        steps = await self._journal.begin(deployment)
        try:
            commit = await self._source.fetch(deployment.app, origin, deployment.pinned)
            if (existing := await self._existing(deployment, commit)) is not None:
                await self._journal.nothing_new(deployment, steps, commit, existing)
                return
            steps = await self._journal.fetched(deployment, steps, commit)
            catalog, warnings = await self._checked(deployment, commit, origin.path)
        except GitFailed as error:
            await self._journal.fail(deployment, steps, [plain_error(error.detail)])
        except Refused as error:
            await self._journal.fail(deployment, steps, [shown(problem) for problem in error.problems])
        else:
            ready = await self._journal.revise(deployment, steps, commit, catalog, warnings)
            self._announce(deployment, ready)

    async def _existing(self, deployment: Deployment, commit: Commit) -> Deployment | None:
        """The deployment that carries this commit already, when a push or a poll turns out to bring nothing new."""
        if deployment.cause not in (Cause.PUSH, Cause.POLL):
            return None
        async with self._database.read() as c:
            repository = await apps.repository(c, deployment.app)
            previous = await deployments.latest(c, deployment.app, before=deployment.seq)
            live = await deployments.live(c, deployment.app)
        if previous is not None and carries(previous, commit.id):
            return previous
        return settled(commit.id, Scene(repository.abandoned if repository else None, previous, live))

    async def _checked(self, deployment: Deployment, commit: Commit, path: str) -> tuple[Catalog, list[Problem]]:
        async with self._database.read() as c:
            known = await secrets.listed(c, deployment.app)
            live = await deployments.live_catalog(c, deployment.app)
        files = await self._source.manifests(deployment.app, commit.id, path)
        catalog, problems = await asyncio.to_thread(
            check, files, deployment.app, tuple(known), processes=self._processes
        )
        if catalog is None:
            raise Refused(*(problem for problem in problems if problem.severity == "error"))
        contents = await self._source.contents(deployment.app, commit.id)
        stops = stopped(live, catalog, path) if live else ()
        packages = unread(contents.files) if self._processes else ()
        return catalog, [*stops, *left_out(contents.items, path), *packages, *problems]

    def _announce(self, deployment: Deployment, ready: bool) -> None:
        if ready:
            self._doorbell.ring(
                RevisionReady(app=deployment.app, deployment=deployment.id), AccessChanged(app=deployment.app)
            )
