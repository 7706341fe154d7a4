"""Creates apps with a first commit in a built-in repository: rows and repository, or nothing of both.

The repository is prepared aside, marked as unfinished, and moved to its place in the transaction that adds the rows;
the mark goes when the rows are committed. So a registry that is killed leaves either nothing but a temporary folder, or
a marked repository: the next start removes it, or only its mark when the app is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from libs.common import log
from libs.common.db import Database, database_time
from libs.common.errors import Conflict, MeshError
from libs.common.identity import Caller
from libs.common.manifests.repository import DEFAULT_BRANCH
from libs.common.periodic_task import PeriodicTask, for_each
from services.registry.apps import App, AppBeingRemoved, Repository
from services.registry.db import Connection, access_feed, apps, deployments, members
from services.registry.db.members import Member
from services.registry.deployments.state import Deployment, DeploymentTrigger
from services.registry.git.first_commit import FirstCommit
from services.registry.git.hosted_repositories import HostedRepositories

CLEANUP_INTERVAL_S = 3600.0


class AppExists(Conflict):
    """There is an app of this name already."""

    def __init__(self, app: str) -> None:
        super().__init__(f'there is an app "{app}" already')


async def add_app(conn: Connection, app: App, caller: Caller, now: float) -> None:
    """A person who creates an app owns it. Raises AppExists, AppBeingRemoved."""
    if app.name in await apps.list_removing(conn):
        raise AppBeingRemoved(app.name)
    if not await apps.add_if_missing(conn, app, now):
        raise AppExists(app.name)
    if caller.person:
        await members.set_member(conn, Member(app.name, "user", caller.person, "owner", caller.title, now))
    await access_feed.record_change(conn, app.name)


class AppCreator:
    """`is_pushed_to`: whether somebody pushes to the repository of an app now."""

    def __init__(
        self,
        database: Database,
        hosted: HostedRepositories,
        is_pushed_to: Callable[[str], bool],
        wake_worker: Callable[[], None],
    ) -> None:
        self._database, self._hosted = database, hosted
        self._is_pushed_to, self._wake_worker = is_pushed_to, wake_worker
        self.loop = PeriodicTask("unfinished apps", self.remove_unfinished, CLEANUP_INTERVAL_S)

    async def create(self, app: App, files: Mapping[str, bytes], message: str, caller: Caller) -> Deployment:
        """Add the app with a repository of these files, and deploy it. Raises AppExists, AppBeingRemoved, Conflict."""
        async with self._database.read() as conn:
            now = await database_time(conn)
            if await apps.get(conn, app.name) is not None:
                raise AppExists(app.name)
        commit = FirstCommit(DEFAULT_BRANCH, caller.person or caller.title, message, now, files)
        async with self._hosted.prepare_repository(commit) as new:
            try:
                deployment = await self._add(app, new, caller)
            except BaseException:
                with suppress(MeshError):  # the database is away: the loop does it
                    await self._settle(app.name)
                raise
        self._hosted.finish_repository(app.name)
        self._wake_worker()
        return deployment

    async def _add(self, app: App, prepared: Path, caller: Caller) -> Deployment:
        async with self._database.write() as conn:
            now = await database_time(conn)
            await add_app(conn, app, caller, now)
            await apps.put_repository(conn, Repository.new_hosted(app.name, DEFAULT_BRANCH, polled_at=now))
            deployment = await deployments.add(conn, app.name, DeploymentTrigger.PUSH, now, caller.title)
            if self._is_pushed_to(app.name):
                raise Conflict(
                    f"somebody pushes to {app.name} now; choose another name, or try again when that has ended"
                )
            self._hosted.place_repository(prepared, app.name)
        return deployment

    async def remove_unfinished(self) -> None:
        """Settle what a killed registry left."""
        await for_each(self._hosted.list_unfinished(), self._settle)
        await self._hosted.remove_old_temporaries()

    async def _settle(self, app: str) -> None:
        """Remove an unfinished repository without an app; of an app that is recorded it is finished.

        Waits for another registry that creates the app at this moment.
        """
        if app not in self._hosted.list_unfinished():
            return
        async with self._database.write() as conn:
            holds_name = await apps.add_if_missing(conn, App(app, app), await database_time(conn))
            if not holds_name:
                self._hosted.finish_repository(app)
                return
            await self._hosted.delete(app)
            await apps.drop(conn, app)
        log.get("registry").warning("Unfinished app removed", app=app)
