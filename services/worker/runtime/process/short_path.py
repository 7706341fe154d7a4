"""Short names of temporary folders: the address of a Unix socket has 107 bytes, and programs put sockets there.

What is written stays in the task's own folder: the short name is a link to it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 60
"""Bytes; what programs add to it has room behind them (Python's multiprocessing: 32)."""


def shorten_path(folder: Path) -> Path:
    """`folder`, by a name that is short enough; itself when that cannot be had."""
    if len(os.fsencode(folder)) <= MAX_BYTES:
        return folder
    link = _link_path(folder)
    with suppress(FileExistsError):
        link.symlink_to(folder)
    return link if _is_own_link(link, folder) else folder


def remove_short_path(folder: Path) -> None:
    """Remove the short name."""
    link = _link_path(folder)
    if _is_own_link(link, folder):
        link.unlink(missing_ok=True)


def _link_path(folder: Path) -> Path:
    return Path(tempfile.gettempdir()) / f"mlmesh-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"


def _is_own_link(link: Path, folder: Path) -> bool:
    """Everybody may write where it stands."""
    try:
        return link.lstat().st_uid == os.getuid() and link.readlink() == folder
    except OSError:
        return False
