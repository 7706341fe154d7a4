"""Room on this host's disk: what a stage may take of it, and whether any is left."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from pathlib import Path

from services.worker.tasks import Failed

LOOK_S = 2.0
CALM = 20.0
"""A look at many files is followed by a rest of so many times its length."""
NOTHING = 1 << 20
"""Bytes: with less a disk is full."""
CODE = "disk_full"


async def outgrown(folder: Path, limit: int) -> Failed:
    """Looks until `folder` holds more than `limit` bytes."""
    while True:
        began = time.monotonic()
        if await asyncio.to_thread(used, folder) > limit:
            return Failed(CODE, f"it has more than {limit / 1e9:g} GB of files on its worker (MLMESH_SCRATCH_LIMIT)")
        await asyncio.sleep(max(LOOK_S, CALM * (time.monotonic() - began)))


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
