"""Bare repositories of the registry: the clones of the cache, and the built-in ones."""

from __future__ import annotations

from pathlib import Path

from services.registry.git.client import GitClient

INIT_TIMEOUT_S = 20.0
BRANCH_PREFIX = "refs/heads/"
ATTRIBUTES = "* -export-ignore -export-subst\n"
"""Archives contain the tree as committed: the repository's .gitattributes have no effect."""


def is_initialized(folder: Path) -> bool:
    return (folder / "info" / "attributes").is_file()


async def init_bare(git: GitClient, folder: Path) -> None:
    """Raises GitFailed."""
    await git.run("init", "--quiet", "--bare", "--template=", str(folder), timeout=INIT_TIMEOUT_S)
    (folder / "info").mkdir(exist_ok=True)
    (folder / "info" / "attributes").write_text(ATTRIBUTES)
