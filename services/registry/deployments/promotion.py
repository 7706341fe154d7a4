"""Promotion: the commit that is live in one app is deployed in another one, from the same repository. Pure."""

from __future__ import annotations

from contextlib import suppress

from services.registry.apps import Repository
from services.registry.git.repository_url import InvalidRepositoryUrl, parse_repository_url, redact_url


def is_same_repository(first: str, second: str) -> bool:
    """Whether two URLs name one repository: spellings with and without `.git` and a last slash do."""
    return _normalize_url(first) == _normalize_url(second)


def _normalize_url(url: str) -> str:
    with suppress(InvalidRepositoryUrl):  # it is compared as it is written
        url = parse_repository_url(url).url
    return url.rstrip("/").removesuffix(".git")


def explain_different_repositories(source: Repository, target: Repository, hosted_url: str, commit: str) -> str | None:
    """Why a commit of `source` cannot be promoted, and what to do; None when it can. `hosted_url`: of the target.

    Between two repositories that the mesh hosts the commit is copied.
    """
    if source.url is None and target.url is None:
        return None
    if source.url is not None and target.url is not None and is_same_repository(source.url, target.url):
        return None
    place = "its repository in the mesh" if target.url is None else redact_url(target.url)
    if target.url is None:
        advice = f"push the commit: git push {hosted_url} {commit[:12]}:refs/heads/{target.branch}"
    elif source.url is None:
        advice = f"push the commit there, to {target.branch}"
    else:
        advice = f"give its Repository the url {redact_url(source.url)} with mlmesh apply, or push the commit there"
    return f"{target.app} is deployed from {place}, which is not the repository of {source.app}; {advice}"


def explain_unrelated_commit(source: str, target: Repository, hosted_url: str, commit: str) -> str:
    """Why a commit is refused that shares no history with what the target has, and what to do."""
    return (
        f"commit {commit[:12]} of {source} has no ancestor in common with what {target.app} has; if it is to replace "
        f"that, push it to the repository of {target.app}: "
        f"git push --force {hosted_url} {commit[:12]}:refs/heads/{target.branch}"
    )
