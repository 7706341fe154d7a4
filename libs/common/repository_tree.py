"""What of a repository's content a mesh leaves out or does not read, each told in a warning that names it. Pure.

The registry looks at a commit and `mlmesh validate` at a folder; the worker leaves out of a checkout what is told here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from libs.common.manifests.problems import Problem

LINK_MODE, SUBMODULE_MODE = "120000", "160000"
"""Modes of Git's trees."""
MANIFEST_SUFFIXES = (".yaml", ".yml")
LINKED_FOLDER = "a link, which is not followed; commit the folder itself, or name the other in the Repository's path"
LINKED_MANIFEST = "not a regular file; commit the manifest itself instead of a link"
MAX_LINK_TARGET_BYTES = 4000
"""Bytes of a link's target; no system makes a longer link."""
MAX_WARNINGS = 10
"""Warnings of one repository that name a path each; one more tells how many there are."""


@dataclass(frozen=True)
class TreePath:
    """One path of a tree; `target` is a link's."""

    path: str
    mode: str = "100644"
    target: str = ""


def is_manifest_file(path: str) -> bool:
    """Whether a file of this name is read as manifests."""
    return PurePosixPath(path).suffix in MANIFEST_SUFFIXES


def is_misnamed_manifest(path: str) -> bool:
    """Whether it is called as if it were one, and is not read: `x.YML`, `x.yml ` or `.yml`."""
    return not is_manifest_file(path) and path.strip().lower().endswith(MANIFEST_SUFFIXES)


def leaves_tree(path: str, target: str) -> bool:
    """Whether a link at `path` leads out of the tree, or nowhere on any system."""
    if not target or "\0" in target or len(target) > MAX_LINK_TARGET_BYTES:
        return True
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return place.startswith(("/", "../")) or place == ".."


def list_ignored(items: Iterable[TreePath], folder: str) -> list[Problem]:
    """`folder` is where the manifests are."""
    found = sorted(
        Problem(item.path, 1, 1, said, "warning") for item in items for said in _explain_ignored(item, folder)
    )
    if len(found) > MAX_WARNINGS:
        rest = f"and {len(found) - MAX_WARNINGS} more links, submodules or files of this repository are left out"
        return [*found[:MAX_WARNINGS], Problem(found[MAX_WARNINGS].file, 1, 1, rest, "warning")]
    return found


def _explain_ignored(item: TreePath, folder: str) -> Iterator[str]:
    inside = folder == "." or item.path.startswith(f"{folder}/")
    if item.mode == SUBMODULE_MODE:
        yield "a submodule, which is not fetched: its folder is empty; commit the files themselves"
    elif item.mode == LINK_MODE and leaves_tree(item.path, item.target):
        shown = item.target[:100]
        yield f'a link to "{shown}" outside this repository is left out; commit what it leads to, or keep it in a box'
    elif item.mode == LINK_MODE and inside and PurePosixPath(item.target).suffix in ("", *MANIFEST_SUFFIXES):
        if not is_manifest_file(item.path):
            yield "a link, below which no manifests are read; commit the files themselves"
    elif inside and is_misnamed_manifest(item.path):
        yield "not read: the name of a manifest ends in .yml or .yaml; rename it"
