"""Files that stages leave behind: with modes that keep everybody out, this worker too."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def grant_owner_access(folder: Path, *, folders_only: bool = False) -> None:
    """What is this user's below `folder` can be read and removed, whatever modes a stage gave it."""
    if os.geteuid() == 0:
        return  # no mode keeps it out
    _add_mode(str(folder), stat.S_IRWXU)
    for parent, folders, files in os.walk(folder):  # a folder is opened before it is looked into
        for name in folders:
            _add_mode(os.path.join(parent, name), stat.S_IRWXU)
        for name in () if folders_only else files:
            _add_mode(os.path.join(parent, name), stat.S_IRUSR)


def _add_mode(path: str, bits: int) -> None:
    with suppress(OSError):  # another user's, or gone
        mode = os.lstat(path).st_mode
        if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and mode & bits != bits:
            os.chmod(path, stat.S_IMODE(mode) | bits)
