"""Which repositories of this host may be read: those that lie, with all that Git reads for them, where it is allowed.

A repository is more than a folder: links, a `.git` that is a file, a worktree's common folder and borrowed objects lead
elsewhere, and what they lead to is told to whoever owns the app.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

SUFFIXES = ("/.git", "", ".git/.git", ".git")
"""What Git tries after a path, in its order."""
MAX_ALTERNATES_DEPTH = 5
"""Repositories that borrow objects from one another, in a row; Git has the same limit."""
MAX_BYTES = 64 * 1024
"""Of a file that names folders."""
PLAIN_QUOTED = re.compile(r'"[^"\\]*"')


class RepositoryForbidden(Exception):
    """Not there, not allowed, not a repository or not to be read: which of them is nobody's business."""


class AllowedFolders:
    """`allowed` folders and all below them, but for what is below those that are `closed`."""

    def __init__(self, allowed: Iterable[str], closed: Iterable[Path]) -> None:
        self._allowed = [Path(folder).resolve() for folder in allowed]
        self._closed = [folder.resolve() for folder in closed]

    def is_allowed(self, path: Path) -> bool:
        """`path` without links."""
        fits = any(path.is_relative_to(folder) for folder in self._allowed)
        return fits and not any(path.is_relative_to(folder) for folder in self._closed)

    def find_repository(self, path: str) -> Path:
        """The Git folder that serves this path, without links. Raises Forbidden."""
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
        """Judged before anything of it is looked at."""
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
        """Those in a folder, and those in the folders that they lead to."""
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
            target = self._resolve_allowed(Path(os.path.normpath(joined)))  # Git too goes up before it follows links
            self._check_links(target, set())
            self._check_alternates(target, depth_left - 1)


def _read_path(file: Path, label: str = "") -> Path:
    """The path that a file holds, spaces and all; it begins at the file's folder."""
    return file.parent / _read_small_file(file).removeprefix(label).rstrip("\r\n")


def _read_small_file(file: Path) -> str:
    """Of a small file; anything may be where one is looked for."""
    with file.open("rb") as opened:
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise RepositoryForbidden
    return content.decode()


def _read_alternates(file: Path) -> Iterator[str]:
    """Its lines as Git reads them. Raises Forbidden for one that is escaped: Git writes none."""
    for line in _read_small_file(file).split("\n"):
        if line.startswith('"') and not PLAIN_QUOTED.fullmatch(line):
            raise RepositoryForbidden
        if line and not line.startswith("#"):
            yield line.strip('"') if line.startswith('"') else line


def _is_repository(folder: Path) -> bool:
    """As Git sees it: a worktree has its objects elsewhere."""
    has = (folder / "objects").is_dir() and (folder / "refs").is_dir()
    return os.path.lexists(folder / "HEAD") and (has or (folder / "commondir").is_file())


def _iter_links(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield Path(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                yield from _iter_links(Path(entry.path))
