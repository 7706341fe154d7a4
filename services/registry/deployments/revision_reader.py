"""Reads what a commit, or files that are in no commit yet, would deploy: a catalog and its warnings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from libs.common.db import Database
from libs.common.manifests import Problem
from libs.common.manifests.catalog import Catalog
from libs.common.python_packages import check_requirements
from libs.common.repository_tree import list_ignored
from services.registry.checks.catalog import check_manifests
from services.registry.checks.deployment_warnings import warn_of_sandboxed_pages, warn_of_stopped
from services.registry.db import deployments, secrets
from services.registry.git.cache import GitCache
from services.registry.git.commit_check import check_commit
from services.registry.git.tree import InvalidRevision


@dataclass(frozen=True)
class CheckedRevision:
    """Valid manifests, and warnings about them."""

    catalog: Catalog
    warnings: tuple[Problem, ...]


@dataclass(frozen=True)
class RevisionReader:
    """`process_runtime`: workers run processes, not containers; `has_app_hosts`: each app has a host of its own."""

    database: Database
    git_cache: GitCache
    process_runtime: bool
    has_app_hosts: bool

    async def read_commit(self, app: str, commit: str, path: str) -> CheckedRevision:
        """Of a commit in the cache, whose manifests are in the folder `path`. Raises InvalidRevision, GitFailed."""
        declared, live = await self._load_app(app)
        reader = self.git_cache.get_reader(app)
        checked = await check_commit(reader, commit, path, app, declared, live, processes=self.process_runtime)
        revision = build_revision(live, *checked, path)
        contents = await self.git_cache.read_tree_contents(app, commit)
        package_warnings = check_requirements(contents.files) if self.process_runtime else ()
        page_warnings = () if self.has_app_hosts else warn_of_sandboxed_pages(revision.catalog, path)
        warnings = (*revision.warnings, *list_ignored(contents.items, path), *package_warnings, *page_warnings)
        return CheckedRevision(revision.catalog, warnings)

    async def check_files(
        self, app: str, files: Mapping[str, bytes], path: str, applied_secrets: Iterable[str] = ()
    ) -> CheckedRevision:
        """`applied_secrets`: those that `mlmesh apply` would declare. Raises InvalidRevision."""
        declared, live = await self._load_app(app)
        checked = await asyncio.to_thread(
            check_manifests, files, app, (*declared, *applied_secrets), processes=self.process_runtime, live=live
        )
        return build_revision(live, *checked, path)

    async def _load_app(self, app: str) -> tuple[tuple[str, ...], Catalog | None]:
        """Its declared Secrets, and what is live."""
        async with self.database.read() as conn:
            return tuple(await secrets.list_secrets(conn, app)), await deployments.get_live_catalog(conn, app)


def build_revision(
    live: Catalog | None, catalog: Catalog | None, problems: Sequence[Problem], path: str
) -> CheckedRevision:
    """With warnings of what it stops. Raises InvalidRevision."""
    if catalog is None:
        raise InvalidRevision(*(problem for problem in problems if problem.severity == "error"))
    return CheckedRevision(catalog, (*(warn_of_stopped(live, catalog, path) if live else ()), *problems))
