"""Free space on the disk of the platform's files, a part of which is reserved for the platform itself."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path

from libs.common.errors import DiskFull

MAX_RESERVE_BYTES = 256_000_000
RESERVE_DIVISOR = 20
"""The default reserve is a twentieth of the disk, at most MAX_RESERVE_BYTES."""


@dataclass(frozen=True)
class Disk:
    """The disk of `folder`; `reserve` in bytes, None: derived from the size of the disk."""

    folder: Path
    reserve: int | None = None

    @property
    def free_and_reserve(self) -> tuple[int, int]:
        """Free and reserved bytes, of the nearest folder that exists."""
        folder = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        usage = shutil.disk_usage(folder)
        return usage.free, min(
            MAX_RESERVE_BYTES, usage.total // RESERVE_DIVISOR
        ) if self.reserve is None else self.reserve

    def has_free_space(self, size: int = 0) -> bool:
        """Whether `size` more bytes leave the reserve untouched."""
        free, reserve = self.free_and_reserve
        return free - size >= reserve

    def check_free_space(self, size: int = 0) -> None:
        """Raises DiskFull, with free and reserved bytes, if `size` more bytes would use the reserve."""
        free, reserve = self.free_and_reserve
        if free - size < reserve:
            raise DiskFull(self.describe_full(), free=free, reserve=reserve)

    def describe_full(self) -> str:
        free, reserve = self.free_and_reserve
        return f"the disk of {self.folder} is full: {free} bytes are free, {reserve} are reserved (MLMESH_DISK_RESERVE)"

    async def ready(self) -> None:
        """Raises DiskFull."""
        self.check_free_space()


def is_disk_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
