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
MAX_BORROWED = 5
"""Repositories that borrow objects from one another, in a row; Git has the same limit."""
MAX_BYTES = 64 * 1024
"""Of a file that names folders."""
PLAIN_QUOTED = re.compile(r'"[^"\\]*"')


class Forbidden(Exception):
    """Not there, not allowed, not a repository or not to be read: which of them is nobody's business."""


class Folders:
    """`allowed` folders and all below them, but for what is below those that are `closed`."""

    def __init__(self, allowed: Iterable[str], closed: Iterable[Path]) -> None:
        self._allowed = [Path(one).resolve() for one in allowed]
        self._closed = [one.resolve() for one in closed]

    def allows(self, path: Path) -> bool:
        """`path` without links."""
        fits = any(path.is_relative_to(folder) for folder in self._allowed)
        return fits and not any(path.is_relative_to(folder) for folder in self._closed)

    def repository(self, path: str) -> Path:
        """The Git folder that serves this path, without links. Raises Forbidden."""
        try:
            found = self._folder(path)
            self._check(found)
        except (OSError, ValueError, RuntimeError) as error:
            raise Forbidden from error
        return found

    def _folder(self, path: str) -> Path:
        if not path.startswith("/"):
            raise Forbidden
        plain = path.rstrip("/")
        for suffix in SUFFIXES:
            candidate = self._resolved(Path(plain + suffix))
            if candidate.is_file():
                candidate = self._resolved(_named(candidate, "gitdir: "))
            if _is_repository(candidate):
                return candidate
        raise Forbidden

    def _resolved(self, path: Path) -> Path:
        """Judged before anything of it is looked at."""
        found = path.resolve()
        if not self.allows(found):
            raise Forbidden
        return found

    def _check(self, repository: Path) -> None:
        common = repository / "commondir"
        if common.is_file():
            self._check(self._resolved(_named(common)))
        self._check_links(repository, set())
        self._check_borrowed(repository / "objects", MAX_BORROWED)

    def _check_links(self, folder: Path, seen: set[Path]) -> None:
        """Those in a folder, and those in the folders that they lead to."""
        seen.add(folder)
        for link in _links(folder):
            found = self._resolved(link)
            if found.is_dir() and found not in seen:
                self._check_links(found, seen)

    def _check_borrowed(self, objects: Path, left: int) -> None:
        alternates = objects / "info" / "alternates"
        for path in _alternates(alternates) if alternates.is_file() else ():
            if left == 0:
                raise Forbidden
            joined = os.path.join(os.path.realpath(objects), path)
            found = self._resolved(Path(os.path.normpath(joined)))  # Git too goes up before it follows links
            self._check_links(found, set())
            self._check_borrowed(found, left - 1)


def _named(file: Path, label: str = "") -> Path:
    """The path that a file holds, spaces and all; it begins at the file's folder."""
    return file.parent / _text(file).removeprefix(label).rstrip("\r\n")


def _text(file: Path) -> str:
    """Of a small file; anything may be where one is looked for."""
    with file.open("rb") as opened:
        found = opened.read(MAX_BYTES + 1)
    if len(found) > MAX_BYTES:
        raise Forbidden
    return found.decode()


def _alternates(file: Path) -> Iterator[str]:
    """Its lines as Git reads them. Raises Forbidden for one that is escaped: Git writes none."""
    for line in _text(file).split("\n"):
        if line.startswith('"') and not PLAIN_QUOTED.fullmatch(line):
            raise Forbidden
        if line and not line.startswith("#"):
            yield line.strip('"') if line.startswith('"') else line


def _is_repository(folder: Path) -> bool:
    """As Git sees it: a worktree has its objects elsewhere."""
    has = (folder / "objects").is_dir() and (folder / "refs").is_dir()
    return os.path.lexists(folder / "HEAD") and (has or (folder / "commondir").is_file())


def _links(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield Path(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                yield from _links(Path(entry.path))
