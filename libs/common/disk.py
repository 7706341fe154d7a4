"""Room on the disk that the platform's own files are on: a reserve of it is nobody else's."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path

from libs.common.errors import DiskFull

MAX_RESERVE_BYTES = 256_000_000
RESERVE_DIVISOR = 20
"""Of the disk: the reserve is a twentieth of it, and never more than MOST, unless a setting says it."""


@dataclass(frozen=True)
class Disk:
    """The disk that `folder` is on; `reserve` in bytes, None: by its size."""

    folder: Path
    reserve: int | None = None

    @property
    def free_and_reserve(self) -> tuple[int, int]:
        """Bytes that are free, and those that are to stay so. A folder that is not there yet: of those above it."""
        there = next(one for one in (self.folder, *self.folder.parents) if one.exists())
        usage = shutil.disk_usage(there)
        return usage.free, min(
            MAX_RESERVE_BYTES, usage.total // RESERVE_DIVISOR
        ) if self.reserve is None else self.reserve

    def has_free_space(self, size: int = 0) -> bool:
        """Whether `size` more bytes leave the reserve untouched."""
        free, reserve = self.free_and_reserve
        return free - size >= reserve

    def check_free_space(self, size: int = 0) -> None:
        """Raises DiskFull, with the figures."""
        free, reserve = self.free_and_reserve
        if free - size < reserve:
            raise DiskFull(self.describe_full(), free=free, reserve=reserve)

    def describe_full(self) -> str:
        free, reserve = self.free_and_reserve
        return f"the disk of {self.folder} is full: {free} bytes are free, {reserve} are kept (MLMESH_DISK_RESERVE)"

    async def ready(self) -> None:
        """Raises DiskFull."""
        self.check_free_space()


def is_disk_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
