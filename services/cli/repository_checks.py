"""Checks of a repository besides its manifests: links, file names, packages that are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.checkout import display_name
from services.cli.manifest_folder import walk

if TYPE_CHECKING:
    from libs.common.manifests.problems import Problem
    from libs.common.repository_tree import TreePath


def check_repository(repository: Path, root: Path) -> Iterator[Problem]:
    """Problems of a repository whose manifests are in `root`. Package problems apply only to the process runtime."""
    from libs.common.python_packages import check_requirements

    yield from (_with_full_path(repository, problem) for problem in _check_tree(repository, root))
    for problem in check_requirements(dict(_read_requirements(repository))):
        yield replace(_with_full_path(repository, problem), message=f"where a mesh runs processes: {problem.message}")


def _check_tree(repository: Path, root: Path) -> Iterator[Problem]:
    from libs.common.manifests.problems import Problem
    from libs.common.repository_tree import LINKED_FOLDER, LINKED_MANIFEST, is_manifest_file, list_ignored

    folder = root.relative_to(repository).as_posix()
    if folder != "." and root.is_symlink():
        yield Problem(folder, 1, 1, LINKED_FOLDER)
    items = [_tree_item(path, repository) for path in walk(root) if path.is_symlink() or path.is_file()]
    linked = (item.path for item in items if item.target and is_manifest_file(item.path))
    yield from (Problem(path, 1, 1, LINKED_MANIFEST) for path in linked)
    yield from list_ignored(items, folder)


def _tree_item(path: Path, repository: Path) -> TreePath:
    from libs.common.repository_tree import LINK_MODE, TreePath

    name = display_name(path.relative_to(repository))
    return TreePath(name, LINK_MODE, str(path.readlink())) if path.is_symlink() else TreePath(name)


def _read_requirements(repository: Path) -> Iterator[tuple[str, bytes]]:
    from libs.common.python_packages import PARSED_FILES, RELEVANT_PATTERNS

    for path in (path for pattern in RELEVANT_PATTERNS for path in repository.glob(pattern) if path.is_file()):
        yield display_name(path.relative_to(repository)), path.read_bytes() if path.name in PARSED_FILES else b""


def _with_full_path(repository: Path, problem: Problem) -> Problem:
    return replace(problem, file=(repository / problem.file).as_posix())
