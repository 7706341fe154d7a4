"""Paths of a repository that the mesh ignores, with a warning for each. Pure.

The registry checks a commit and `mlmesh validate` a folder; the worker omits these paths from a checkout.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from libs.common.manifests.problems import Problem

LINK_MODE, SUBMODULE_MODE = "120000", "160000"
"""Modes of Git tree entries."""
MANIFEST_SUFFIXES = (".yaml", ".yml")
LINKED_FOLDER = "a link, which is not followed; commit the folder itself, or name the other in the Repository's path"
LINKED_MANIFEST = "not a regular file; commit the manifest itself instead of a link"
MAX_LINK_TARGET_BYTES = 4000
"""No operating system creates a longer link."""
MAX_WARNINGS = 10
"""Warnings of one repository that name a path; one more gives the number of all others."""


@dataclass(frozen=True)
class TreePath:
    """One path of a Git tree; `target` is that of a link."""

    path: str
    mode: str = "100644"
    target: str = ""


def is_manifest_file(path: str) -> bool:
    """Whether the mesh reads a file of this name as manifests."""
    return PurePosixPath(path).suffix in MANIFEST_SUFFIXES


def is_misnamed_manifest(path: str) -> bool:
    """Whether the name resembles that of a manifest, but the mesh does not read it: `x.YML`, `x.yml ` or `.yml`."""
    return not is_manifest_file(path) and path.strip().lower().endswith(MANIFEST_SUFFIXES)


def leaves_tree(path: str, target: str) -> bool:
    """Whether the target of the link at `path` is outside of the tree, or invalid on every system."""
    if not target or "\0" in target or len(target) > MAX_LINK_TARGET_BYTES:
        return True
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return resolved.startswith(("/", "../")) or resolved == ".."


def list_ignored(items: Iterable[TreePath], folder: str) -> list[Problem]:
    """Warnings for ignored paths; `folder` contains the manifests."""
    warnings = sorted(
        Problem(item.path, 1, 1, message, "warning") for item in items for message in _explain_ignored(item, folder)
    )
    if len(warnings) > MAX_WARNINGS:
        message = f"and {len(warnings) - MAX_WARNINGS} more links, submodules or files of this repository are left out"
        return [*warnings[:MAX_WARNINGS], Problem(warnings[MAX_WARNINGS].file, 1, 1, message, "warning")]
    return warnings


def _explain_ignored(item: TreePath, folder: str) -> Iterator[str]:
    inside = folder == "." or item.path.startswith(f"{folder}/")
    if item.mode == SUBMODULE_MODE:
        yield "a submodule, which is not fetched: its folder is empty; commit the files themselves"
    elif item.mode == LINK_MODE and leaves_tree(item.path, item.target):
        target = item.target[:100]
        yield f'a link to "{target}" outside this repository is left out; commit what it leads to, or keep it in a box'
    elif item.mode == LINK_MODE and inside and PurePosixPath(item.target).suffix in ("", *MANIFEST_SUFFIXES):
        if not is_manifest_file(item.path):
            yield "a link, below which no manifests are read; commit the files themselves"
    elif inside and is_misnamed_manifest(item.path):
        yield "not read: the name of a manifest ends in .yml or .yaml; rename it"
