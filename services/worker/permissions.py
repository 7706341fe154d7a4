"""Restores access to files whose modes a stage has restricted, even for this worker."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def grant_owner_access(folder: Path, *, folders_only: bool = False) -> None:
    """Make this user's files below `folder` readable and removable, whatever modes a stage set."""
    if os.geteuid() == 0:
        return  # root ignores modes
    _add_mode(str(folder), stat.S_IRWXU)
    for parent, folders, files in os.walk(folder):  # top down: os.walk enters a folder after its mode has changed
        for name in folders:
            _add_mode(os.path.join(parent, name), stat.S_IRWXU)
        for name in () if folders_only else files:
            _add_mode(os.path.join(parent, name), stat.S_IRUSR)


def _add_mode(path: str, bits: int) -> None:
    with suppress(OSError):  # another user's, or removed
        mode = os.lstat(path).st_mode
        if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and mode & bits != bits:
            os.chmod(path, stat.S_IMODE(mode) | bits)
