"""Where each forge takes the status of a commit, from the repository's address. Pure."""

from __future__ import annotations

from urllib.parse import quote

from services.registry.forges.repository_address import RepositoryAddress


def locate_github(address: RepositoryAddress, commit: str) -> str:
    if address.host == "github.com":
        api = "https://api.github.com"
    elif address.host.endswith(".ghe.com"):
        api = f"https://api.{address.host}"
    else:
        api = f"{address.origin}{address.prefix}/api/v3"
    return f"{api}/repos{address.name}/statuses/{commit}"


def locate_gitea(address: RepositoryAddress, commit: str) -> str:
    return f"{address.origin}{address.prefix}/api/v1/repos{address.name}/statuses/{commit}"


def locate_gitbucket(address: RepositoryAddress, commit: str) -> str:
    """Over http its repositories are below `/git/`."""
    *prefix, _owner, _name = address.parts
    outer = address.encode(*(prefix[:-1] if prefix[-1:] == ["git"] else prefix))
    return f"{address.origin}{outer}/api/v3/repos{address.name}/statuses/{commit}"


def locate_gitlab(address: RepositoryAddress, commit: str) -> str:
    return f"{locate_gitlab_project(address)}/statuses/{commit}"


def locate_gitlab_project(address: RepositoryAddress) -> str:
    """Groups may be nested: the whole path names the project."""
    return f"{address.origin}/api/v4/projects/{quote('/'.join(address.parts), safe='')}"


def locate_bitbucket(address: RepositoryAddress, commit: str) -> str:
    return f"{locate_bitbucket_commit(address, commit)}/statuses/build"


def locate_bitbucket_commit(address: RepositoryAddress, commit: str) -> str:
    return f"https://api.bitbucket.org/2.0/repositories{address.name}/commit/{commit}"


def locate_data_center(address: RepositoryAddress, commit: str) -> str:
    return f"{locate_data_center_commit(address, commit, 'api')}/builds"


def locate_data_center_commit(address: RepositoryAddress, commit: str, api: str) -> str:
    """`api` is `api` or `insights`. Over http its repositories are below `/scm/`."""
    *prefix, project, name = address.parts
    outer = address.encode(*(prefix[:-1] if prefix[-1:] == ["scm"] else prefix))
    path = address.encode("projects", project, "repos", name, "commits", commit)
    return f"{address.origin}{outer}/rest/{api}/latest{path}"


def locate_azure(address: RepositoryAddress, commit: str) -> str:
    """`/{organization}/{project}/_git/{repository}`, or `v3/{organization}/{project}/{repository}` over ssh."""
    parts = [part for part in address.parts if part not in ("_git", "v3", "DefaultCollection")]
    organizations = 1 if address.host == "dev.azure.com" else 0
    has_project = len(parts) > organizations + 1  # else the repository is named like its project
    project = parts[:-1] if has_project else parts
    path = address.encode(*project, "_apis", "git", "repositories", parts[-1], "commits", commit, "statuses")
    return f"{address.origin}{path}?api-version=7.1"
