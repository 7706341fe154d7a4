"""Remembers the heads of local repositories until the files of their refs change: asking Git costs two processes."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.registry.git.allowed_folders import SUFFIXES
from services.registry.git.remotes import GitRemote

MAX_ENTRIES = 10_000
SETTLED_S = 2.0
"""A `packed-refs` that was written within it may be written again in the same tick of the file system's clock."""
MAX_REF_BYTES = 256
SYMBOLIC = b"ref:"
"""Begins a ref that names another one, as a symlink does."""


@dataclass(frozen=True)
class RefState:
    """What holds a branch, in each place where Git looks for the repository."""

    refs: tuple[bytes | None, ...]
    """Contents of the branch's own file; None: there is none."""
    packed: tuple[tuple[int, int, int] | None, ...]
    """Inode, size in bytes and time of the last change in nanoseconds of `packed-refs`; None: there is none."""

    def determines_head(self, now: float) -> bool:
        """Whether the branch has the same head for as long as this state lasts.

        False as well when the branch is elsewhere: in a reftable, or behind the `.git` file of a worktree.
        """
        if not any(self.refs) and not any(self.packed):
            return False
        if any(ref.startswith(SYMBOLIC) for ref in self.refs if ref):
            return False
        return all(file[2] / 1e9 < now - SETTLED_S for file in self.packed if file)


class LocalHeads:
    def __init__(self) -> None:
        self._heads: OrderedDict[tuple[str, str], tuple[RefState, str]] = OrderedDict()

    def find(self, remote: GitRemote, state: RefState) -> str | None:
        """The branch's head when it was asked in this `state`."""
        entry = self._heads.get((remote.url, remote.branch))
        return entry[1] if entry and entry[0] == state else None

    def remember(self, remote: GitRemote, state: RefState, head: str) -> None:
        """`state` must have been read before the head was asked."""
        key = remote.url, remote.branch
        self._heads.pop(key, None)
        if not state.determines_head(time.time()):
            return
        self._heads[key] = state, head
        if len(self._heads) > MAX_ENTRIES:
            self._heads.popitem(last=False)


def read_ref_state(remote: GitRemote) -> RefState | None:
    """None for a repository on another host, and where tags are followed."""
    address = urlsplit(remote.url)
    if address.scheme != "file" or remote.tags is not None:
        return None
    places = [Path(unquote(address.path).rstrip("/") + suffix) for suffix in SUFFIXES]
    return RefState(
        tuple(_read_ref(place / "refs/heads" / remote.branch) for place in places),
        tuple(_read_times(place / "packed-refs") for place in places),
    )


def _read_ref(file: Path) -> bytes | None:
    """The file may be anything: its owner is not trusted."""
    try:
        opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        return SYMBOLIC if error.errno == errno.ELOOP else None
    try:
        return os.read(opened, MAX_REF_BYTES) if stat.S_ISREG(os.fstat(opened).st_mode) else None
    finally:
        os.close(opened)


def _read_times(file: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_ctime_ns
