"""Room on the disk that the platform's own files are on: a reserve of it is nobody else's."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path

from libs.common.errors import DiskFull

MOST = 256_000_000
SHARE = 20
"""Of the disk: the reserve is a twentieth of it, and never more than MOST, unless a setting says it."""


@dataclass(frozen=True)
class Disk:
    """The disk that `folder` is on; `reserve` in bytes, None: by its size."""

    folder: Path
    reserve: int | None = None

    @property
    def figures(self) -> tuple[int, int]:
        """Bytes that are free, and those that are to stay so. A folder that is not there yet: of those above it."""
        there = next(one for one in (self.folder, *self.folder.parents) if one.exists())
        usage = shutil.disk_usage(there)
        return usage.free, min(MOST, usage.total // SHARE) if self.reserve is None else self.reserve

    def has_room(self, size: int = 0) -> bool:
        """Whether `size` more bytes leave the reserve untouched."""
        free, reserve = self.figures
        return free - size >= reserve

    def check(self, size: int = 0) -> None:
        """Raises DiskFull, with the figures."""
        free, reserve = self.figures
        if free - size < reserve:
            raise DiskFull(self.sentence(), free=free, reserve=reserve)

    def sentence(self) -> str:
        free, reserve = self.figures
        return f"the disk of {self.folder} is full: {free} bytes are free, {reserve} are kept (MLMESH_DISK_RESERVE)"

    async def ready(self) -> None:
        """Raises DiskFull."""
        self.check()


def is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
