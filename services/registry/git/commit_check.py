"""Checks the manifests of a commit, with the folders that its images are built from."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from libs.common.manifests import Problem
from libs.common.manifests.build import list_contexts
from libs.common.manifests.catalog import Catalog
from services.registry.checks.builds import list_builds
from services.registry.checks.catalog import check_manifests
from services.registry.git.commit_reader import CommitReader


async def check_commit(
    reader: CommitReader,
    commit: str,
    path: str,
    app: str,
    secrets: Collection[str],
    live: Catalog | None,
    *,
    processes: bool,
) -> tuple[Catalog | None, list[Problem]]:
    """As `check_manifests`, for the manifests below `path`. Raises InvalidRevision, GitFailed, TimeoutError.

    A mesh that runs processes builds no images: their folders are not looked at.
    """
    files = await reader.read_manifests(commit, path)
    catalog, problems = await asyncio.to_thread(check_manifests, files, app, secrets, processes=processes, live=live)
    if catalog is None or processes or not (builds := list_builds(catalog)):
        return catalog, problems
    contexts = await reader.read_build_contexts(commit, list_contexts(builds))
    return await asyncio.to_thread(check_manifests, files, app, secrets, contexts=contexts)
