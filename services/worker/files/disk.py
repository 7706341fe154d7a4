"""Room on this host's disk: what a stage may take of it, and whether any is left."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from pathlib import Path

from libs.common.disk import Disk
from services.worker.failures import Failed

LOOK_S = 2.0
QUICK_LOOK_S = 0.1
"""Between two looks at what is free, which is one call: a disk is written to quickly."""
PART = 10
"""A stage that holds less than this part of the reserve is not what filled the disk."""
CALM = 20.0
"""A look at many files is followed by a rest of so many times its length."""
NOTHING = 1 << 20
"""Bytes: with less a disk is full."""
CODE = "disk_full"


async def outgrown(folder: Path, limit: int, reserve: int | None = None) -> Failed:
    """Looks until `folder` holds more than `limit` bytes, or has a part in it that the disk's reserve is touched."""
    disk, due = Disk(folder, reserve), 0.0
    while True:
        began = time.monotonic()
        short = not disk.has_room()
        if short or began >= due:
            taken = await asyncio.to_thread(used, folder)
            if taken > limit:
                gigabytes = f"{limit / 1e9:g} GB"
                return Failed(CODE, f"it has more than {gigabytes} of files on its worker (MLMESH_SCRATCH_LIMIT)")
            if short and taken > disk.figures[1] // PART:
                return Failed(CODE, f"it has {taken} bytes of files on its worker, and {disk.sentence()}")
            due = time.monotonic() + max(LOOK_S, CALM * (time.monotonic() - began))
        await asyncio.sleep(QUICK_LOOK_S)


def used(folder: Path) -> int:
    """Bytes on the disk below `folder`; what vanishes meanwhile counts nothing."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:
                continue
    return total


def over(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < NOTHING


def lacking(error: OSError) -> Failed | None:
    """What a worker that could not write says of it; None when that was not for want of room."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return Failed(CODE, f"the worker's disk is full: {error.filename or error.strerror}")
