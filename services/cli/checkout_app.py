"""The app that a checkout belongs to, and the commit that it is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from services.cli.checkout import CheckoutFiles, repository_root
from services.cli.cli_errors import WrongUsage

GIT_TIMEOUT_S = 20.0


def find_app(files: CheckoutFiles, folder: Path, mesh_url: str) -> str:
    """As app.yaml or a manifest names it, or a Git remote in this mesh. Raises WrongUsage."""
    from libs.common.manifests import PlatformApp, read_documents

    for sources in (files.applied, files.manifests):
        for manifest in read_documents(sources)[0]:
            body = manifest.body
            if name := body.namespace if isinstance(body, PlatformApp) else body.metadata.namespace:
                return name
    if name := _find_in_remotes(_run_git(repository_root(folder), "remote", "--verbose"), mesh_url):
        return name
    raise WrongUsage(f"nothing in {folder} names its app; add --app APP")


def _find_in_remotes(remotes: str, mesh_url: str) -> str | None:
    """The app of the first remote that the mesh hosts."""
    hosted = re.search(re.escape(mesh_url.rstrip("/")) + r"/git/([a-z0-9-]+)\.git\b", remotes)
    return hosted[1] if hosted else None


def list_applied_secrets(files: CheckoutFiles) -> list[str]:
    """Names of the Secrets that `mlmesh apply` declares."""
    from libs.common.manifests import Secret, read_documents

    return [manifest.name for manifest in read_documents(files.applied)[0] if isinstance(manifest.body, Secret)]


def read_clean_commit(root: Path) -> str | None:
    """The commit of a working tree that is exactly it; None of any other folder."""
    commit = _run_git(root, "rev-parse", "--verify", "--quiet", "HEAD").strip()
    return commit if commit and not _run_git(root, "status", "--porcelain") else None


def _run_git(folder: Path, *arguments: str) -> str:
    """Its output; nothing where there is no Git or no repository."""
    try:
        ended = subprocess.run(
            ("git", *arguments), cwd=folder, capture_output=True, text=True, check=False, timeout=GIT_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout if ended.returncode == 0 else ""
