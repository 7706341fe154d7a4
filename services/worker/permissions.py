"""Files that stages leave behind: with modes that keep everybody out, this worker too."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def open_own(folder: Path, *, folders_only: bool = False) -> None:
    """What is this user's below `folder` can be read and removed, whatever modes a stage gave it."""
    if os.geteuid() == 0:
        return  # no mode keeps it out
    _allow(str(folder), stat.S_IRWXU)
    for parent, folders, files in os.walk(folder):  # a folder is opened before it is looked into
        for name in folders:
            _allow(os.path.join(parent, name), stat.S_IRWXU)
        for name in () if folders_only else files:
            _allow(os.path.join(parent, name), stat.S_IRUSR)


def _allow(path: str, wanted: int) -> None:
    with suppress(OSError):  # another user's, or gone
        mode = os.lstat(path).st_mode
        if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and mode & wanted != wanted:
            os.chmod(path, stat.S_IMODE(mode) | wanted)
