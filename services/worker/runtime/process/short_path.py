"""Short paths of temporary folders: programs create Unix sockets there, whose path is limited to 107 bytes.

The short path is a symbolic link to the task's own folder.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 60
"""Bytes; leaves space for what programs append (Python's multiprocessing: 32)."""


def shorten_path(folder: Path) -> Path:
    """Return a short path of `folder`, or `folder` itself if no link can be created."""
    if len(os.fsencode(folder)) <= MAX_BYTES:
        return folder
    link = _link_path(folder)
    with suppress(FileExistsError):
        link.symlink_to(folder)
    return link if _is_own_link(link, folder) else folder


def remove_short_path(folder: Path) -> None:
    """Remove the link."""
    link = _link_path(folder)
    if _is_own_link(link, folder):
        link.unlink(missing_ok=True)


def _link_path(folder: Path) -> Path:
    return Path(tempfile.gettempdir()) / f"mlmesh-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"


def _is_own_link(link: Path, folder: Path) -> bool:
    """Check owner and target: other users may write to this folder, too."""
    try:
        return link.lstat().st_uid == os.getuid() and link.readlink() == folder
    except OSError:
        return False
