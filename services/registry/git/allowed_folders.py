"""Local repositories that may be read: all files that Git would read for them must be in allowed folders.

A repository is more than a folder: symlinks, a `.git` file, a worktree's common folder and alternate object stores lead
to other folders, whose content the owner of the app could read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

SUFFIXES = ("/.git", "", ".git/.git", ".git")
"""Suffixes that Git tries for a path, in its order."""
MAX_ALTERNATES_DEPTH = 5
"""Nested alternates; Git has the same limit."""
MAX_BYTES = 64 * 1024
"""The largest file that names folders (gitdir, commondir, alternates)."""
PLAIN_QUOTED = re.compile(r'"[^"\\]*"')


class RepositoryForbidden(Exception):
    """Missing, not allowed, not a repository or not readable; the caller must not learn which."""


class AllowedFolders:
    """`allowed` folders and everything below, except what is below `closed` folders."""

    def __init__(self, allowed: Iterable[str], closed: Iterable[Path]) -> None:
        self._allowed = [Path(folder).resolve() for folder in allowed]
        self._closed = [folder.resolve() for folder in closed]

    def is_allowed(self, path: Path) -> bool:
        """`path` must be resolved."""
        fits = any(path.is_relative_to(folder) for folder in self._allowed)
        return fits and not any(path.is_relative_to(folder) for folder in self._closed)

    def find_repository(self, path: str) -> Path:
        """The resolved Git folder for a path. Raises RepositoryForbidden."""
        try:
            repository = self._find_git_folder(path)
            self._check_repository(repository)
        except (OSError, ValueError, RuntimeError) as error:
            raise RepositoryForbidden from error
        return repository

    def _find_git_folder(self, path: str) -> Path:
        if not path.startswith("/"):
            raise RepositoryForbidden
        plain = path.rstrip("/")
        for suffix in SUFFIXES:
            candidate = self._resolve_allowed(Path(plain + suffix))
            if candidate.is_file():
                candidate = self._resolve_allowed(_read_path(candidate, "gitdir: "))
            if _is_repository(candidate):
                return candidate
        raise RepositoryForbidden

    def _resolve_allowed(self, path: Path) -> Path:
        """Resolve and check a path before it is opened."""
        resolved = path.resolve()
        if not self.is_allowed(resolved):
            raise RepositoryForbidden
        return resolved

    def _check_repository(self, repository: Path) -> None:
        common = repository / "commondir"
        if common.is_file():
            self._check_repository(self._resolve_allowed(_read_path(common)))
        self._check_links(repository, set())
        self._check_alternates(repository / "objects", MAX_ALTERNATES_DEPTH)

    def _check_links(self, folder: Path, seen: set[Path]) -> None:
        """Check symlinks in a folder, and in the folders they point to."""
        seen.add(folder)
        for link in _iter_links(folder):
            target = self._resolve_allowed(link)
            if target.is_dir() and target not in seen:
                self._check_links(target, seen)

    def _check_alternates(self, objects: Path, depth_left: int) -> None:
        alternates = objects / "info" / "alternates"
        for path in _read_alternates(alternates) if alternates.is_file() else ():
            if depth_left == 0:
                raise RepositoryForbidden
            joined = os.path.join(os.path.realpath(objects), path)
            target = self._resolve_allowed(
                Path(os.path.normpath(joined))
            )  # like Git: normalize `..` before following links
            self._check_links(target, set())
            self._check_alternates(target, depth_left - 1)


def _read_path(file: Path, label: str = "") -> Path:
    """The path in a file, including spaces; relative to the file's folder."""
    return file.parent / _read_small_file(file).removeprefix(label).rstrip("\r\n")


def _read_small_file(file: Path) -> str:
    """Raises RepositoryForbidden for a large file; the content is not trusted."""
    with file.open("rb") as opened:
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise RepositoryForbidden
    return content.decode()


def _read_alternates(file: Path) -> Iterator[str]:
    """The lines as Git parses them. Raises RepositoryForbidden for escapes, which Git does not write."""
    for line in _read_small_file(file).split("\n"):
        if line.startswith('"') and not PLAIN_QUOTED.fullmatch(line):
            raise RepositoryForbidden
        if line and not line.startswith("#"):
            yield line.strip('"') if line.startswith('"') else line


def _is_repository(folder: Path) -> bool:
    """Git's own test; a worktree has its objects in the common folder."""
    has = (folder / "objects").is_dir() and (folder / "refs").is_dir()
    return os.path.lexists(folder / "HEAD") and (has or (folder / "commondir").is_file())


def _iter_links(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield Path(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                yield from _iter_links(Path(entry.path))
