"""Checks a push to a built-in repository before Git stores it: the manifests of the commit that would be deployed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from libs.common.db import Database, database_time
from libs.common.errors import MeshError
from libs.common.manifests import Problem
from libs.common.manifests.catalog import Catalog
from services.registry.apps import App, Repository
from services.registry.checks.catalog import select_errors
from services.registry.db import access_feed, apps, deployments, secrets
from services.registry.git import ref_names
from services.registry.git.bare_repository import BRANCH_PREFIX
from services.registry.git.client import GitClient
from services.registry.git.commit_check import check_commit
from services.registry.git.commit_reader import CommitReader
from services.registry.git.error_messages import GitFailed
from services.registry.git.hosted_repositories import HostedRepositories
from services.registry.git.tags import TAG_PREFIX, find_newest_tag
from services.registry.git.tree import InvalidRevision
from services.registry.hosting.push_hook import PushVerdict, RefUpdate

MAX_SHOWN = 20
"""Errors, and warnings, that a client is told."""
USUAL_BRANCHES = ("main", "master")


def refuse(*lines: str) -> PushVerdict:
    return PushVerdict(accepted=False, lines=lines)


def list_branches(updates: Sequence[RefUpdate]) -> list[str]:
    """The names of the branches that are pushed, without those that are deleted."""
    return [
        update.ref.removeprefix(BRANCH_PREFIX)
        for update in updates
        if update.ref.startswith(BRANCH_PREFIX) and not update.is_deletion
    ]


def choose_branch(updates: Sequence[RefUpdate]) -> str | None:
    """The branch to follow from the first push on; None when it has no branch."""
    branches = list_branches(updates)
    return next((name for name in USUAL_BRANCHES if name in branches), branches[0] if branches else None)


def find_name_refusal(updates: Sequence[RefUpdate]) -> str | None:
    """Why a branch or tag cannot have its name. Deletions pass: such a name may come from another Git server."""
    for update in updates:
        if not update.is_deletion and not ref_names.is_valid_ref(update.ref):
            return f"{json.dumps(update.ref)} is not allowed as a name; {ref_names.ADVICE}"
    return None


def find_refusal(app: str, updates: Sequence[RefUpdate], followed: str | None) -> str | None:
    """Why these refs cannot be pushed, whatever is in them. `followed`: the branch that is, None with tags."""
    for update in updates:
        if not update.ref.startswith((BRANCH_PREFIX, TAG_PREFIX)):
            return f"{update.ref} is neither a branch nor a tag; push those only"
        if followed is not None and update.is_deletion and update.ref == BRANCH_PREFIX + followed:
            return f"{app} is deployed from the branch {followed}, so it cannot be deleted"
    return None


def describe_other_refs(app: str, updates: Sequence[RefUpdate], followed: str, url: str) -> tuple[str, ...]:
    """What becomes of a push without the branch that is followed."""
    branches = list_branches(updates)
    if not branches:
        return ()
    return (
        f"stored, not deployed: {app} is deployed from the branch {followed}",
        f"to deploy it: git push {url} {branches[0]}:{followed}",
    )


def list_tags_after(tags: Iterable[str], updates: Sequence[RefUpdate]) -> set[str]:
    """The names of the tags that there are when the updates are made."""
    changed = {update.ref.removeprefix(TAG_PREFIX): update for update in updates if update.ref.startswith(TAG_PREFIX)}
    return {*tags, *changed} - list_deleted_tags(updates)


def list_deleted_tags(updates: Sequence[RefUpdate]) -> set[str]:
    deleted = (update.ref for update in updates if update.is_deletion)
    return {ref.removeprefix(TAG_PREFIX) for ref in deleted if ref.startswith(TAG_PREFIX)}


def find_matching_tag(pattern: str, updates: Sequence[RefUpdate]) -> str | None:
    """The newest of the tags that are pushed and match."""
    refs = [update.ref for update in updates if not update.is_deletion]
    return find_newest_tag(pattern, [ref.removeprefix(TAG_PREFIX) for ref in refs if ref.startswith(TAG_PREFIX)])


def describe_followed_tags(
    app: str, updates: Sequence[RefUpdate], pattern: str, newest: str | None, url: str
) -> tuple[str, ...]:
    """What becomes of a push without the tag that is followed."""
    if all(update.is_deletion for update in updates):
        return ()
    if newest is not None and (older := find_matching_tag(pattern, updates)) is not None:
        return (
            f"stored, not deployed: {app} is deployed from the newest tag that matches {pattern}, "
            f"and {newest} is newer than {older}",
            f"to go back to a former deployment: mlmesh deployment list {app}; mlmesh deployment rollback {app} ID",
            f"to deploy what {older} names as the newest: git tag NEWER-TAG {older} && git push {url} NEWER-TAG",
        )
    which = f"{pattern}, now {newest}" if newest is not None else f"{pattern}; there is none"
    return (
        f"stored, not deployed: {app} is deployed from the newest tag that matches {which}",
        f"to deploy a commit, tag it and push the tag: git push {url} TAG",
    )


def describe_deleted_newest(pattern: str, newest: str | None) -> str:
    if newest is None:
        return f"no tag matches {pattern} any more; what is live goes on"
    return f"the newest tag that matches {pattern} is {newest} now"


def describe_problems(problems: Sequence[Problem]) -> list[str]:
    lines = [str(problem) for problem in problems[:MAX_SHOWN]]
    return [*lines, f"and {len(problems) - MAX_SHOWN} more"] if len(problems) > MAX_SHOWN else lines


@dataclass(frozen=True)
class PushChecker:
    database: Database
    git: GitClient
    hosted: HostedRepositories
    process_runtime: bool
    """Whether workers run processes, which ignore fields of containers."""

    async def check(self, app: str, updates: Sequence[RefUpdate], environment: Mapping[str, str]) -> PushVerdict:
        """Accept or refuse; an accepted first push creates the app. Never raises."""
        try:
            return await self._check(app, updates, environment)
        except (GitFailed, TimeoutError) as error:
            return refuse(f"the commit cannot be read: {error}")
        except MeshError as error:
            return refuse(f"{error.detail}; nothing was stored, push again")

    async def _check(self, app: str, updates: Sequence[RefUpdate], environment: Mapping[str, str]) -> PushVerdict:
        if (refusal := find_name_refusal(updates)) is not None:
            return refuse(refusal)
        async with self.database.read() as conn:
            repository = await apps.get_repository(conn, app)
            declared = await secrets.list_secrets(conn, app)
        if repository is not None and repository.tags is not None:
            return await self._check_tags(repository, repository.tags, updates, tuple(declared), environment)
        branch = repository.branch if repository else choose_branch(updates)
        if branch is None:
            return refuse("push a branch first: a tag alone cannot be deployed")
        if (refusal := find_refusal(app, updates, branch)) is not None:
            return refuse(refusal)
        update = next((update for update in updates if update.ref == BRANCH_PREFIX + branch), None)
        if update is None:
            return PushVerdict(accepted=True, lines=describe_other_refs(app, updates, branch, self.hosted.get_url(app)))
        verdict = await self._check_commit(app, update.new, repository, tuple(declared), environment)
        if verdict.accepted and repository is None:
            followed = await self._create_app(app, branch)
            if followed != branch:  # another first push came before
                return PushVerdict(
                    accepted=True, lines=describe_other_refs(app, updates, followed, self.hosted.get_url(app))
                )
        return verdict

    async def _check_tags(
        self, repository: Repository, pattern: str, updates: Sequence[RefUpdate], secret_names: Sequence[str],
        environment: Mapping[str, str],
    ) -> PushVerdict:  # fmt: skip
        app = repository.app
        if (refusal := find_refusal(app, updates, None)) is not None:
            return refuse(refusal)
        tags = await self.hosted.list_tags(app)
        newest = find_newest_tag(pattern, list_tags_after(tags, updates))
        update = next((update for update in updates if newest and update.ref == TAG_PREFIX + newest), None)
        if update is not None:
            return await self._check_commit(app, update.new, repository, secret_names, environment)
        lines = describe_followed_tags(app, updates, pattern, newest, self.hosted.get_url(app))
        if newest != find_newest_tag(pattern, tags):
            lines = (describe_deleted_newest(pattern, newest), *lines)
        return PushVerdict(accepted=True, lines=lines)

    async def _check_commit(
        self, app: str, commit: str, repository: Repository | None, secret_names: Sequence[str],
        environment: Mapping[str, str],
    ) -> PushVerdict:  # fmt: skip
        started = time.perf_counter()
        reader = CommitReader(self.git, self.hosted.get_folder(app), environment)
        path = repository.path if repository else Repository.new_hosted(app, "").path
        try:
            _catalog, problems = await check_commit(
                reader, commit, path, app, secret_names, await self._load_live(app), processes=self.process_runtime
            )
        except InvalidRevision as error:
            return refuse(*describe_problems(error.problems))
        if errors := select_errors(problems):
            return refuse(*describe_problems(errors), "nothing was stored; correct the manifests and push again")
        milliseconds = (time.perf_counter() - started) * 1000
        warnings = [f"warning: {line}" for line in describe_problems(problems)]
        return PushVerdict(accepted=True, lines=(*warnings, f"the manifests are valid ({milliseconds:.0f} ms)"))

    async def _load_live(self, app: str) -> Catalog | None:
        """What is live, for warnings that only a mesh of processes has."""
        if not self.process_runtime:
            return None
        async with self.database.read() as conn:
            return await deployments.get_live_catalog(conn, app)

    async def _create_app(self, app: str, branch: str) -> str:
        """The branch that is followed from now on.

        Writes what a PlatformApp and a Repository would, before Git moves the branch, so that polling finds it.
        """
        async with self.database.write() as conn:
            now = await database_time(conn)
            if await apps.get(conn, app, lock=True) is None:
                await apps.add(conn, App(app, app), now)
            repository = await apps.get_repository(conn, app)
            if repository is None:
                repository = Repository.new_hosted(app, branch, polled_at=now)
                await apps.put_repository(conn, repository)
            await access_feed.record_change(conn, app)
        await self.hosted.set_default_branch(app, repository.branch)
        return repository.branch
