"""Room on this host's disk: what a stage may take of it, and whether any is left."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from pathlib import Path

from libs.common.disk import Disk
from services.worker.failures import TaskFailed

SCAN_INTERVAL_S = 2.0
CHECK_INTERVAL_S = 0.1
"""Between two looks at what is free, which is one call: a disk is written to quickly."""
MIN_SHARE = 10
"""A stage that holds less than this part of the reserve is not what filled the disk."""
SCAN_REST_FACTOR = 20.0
"""A look at many files is followed by a rest of so many times its length."""
MIN_FREE_BYTES = 1 << 20
"""Bytes: with less a disk is full."""
DISK_FULL = "disk_full"


async def wait_until_over_limit(folder: Path, limit: int, reserve: int | None = None) -> TaskFailed:
    """Looks until `folder` holds more than `limit` bytes, or has a part in it that the disk's reserve is touched."""
    disk, next_scan = Disk(folder, reserve), 0.0
    while True:
        started = time.monotonic()
        low = not disk.has_free_space()
        if low or started >= next_scan:
            used = await asyncio.to_thread(count_used_bytes, folder)
            if used > limit:
                gigabytes = f"{limit / 1e9:g} GB"
                return TaskFailed(
                    DISK_FULL, f"it has more than {gigabytes} of files on its worker (MLMESH_SCRATCH_LIMIT)"
                )
            if low and used > disk.free_and_reserve[1] // MIN_SHARE:
                return TaskFailed(DISK_FULL, f"it has {used} bytes of files on its worker, and {disk.describe_full()}")
            next_scan = time.monotonic() + max(SCAN_INTERVAL_S, SCAN_REST_FACTOR * (time.monotonic() - started))
        await asyncio.sleep(CHECK_INTERVAL_S)


def count_used_bytes(folder: Path) -> int:
    """Bytes on the disk below `folder`; what vanishes meanwhile counts nothing."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:
                continue
    return total


def is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < MIN_FREE_BYTES


def disk_full_failure(error: OSError) -> TaskFailed | None:
    """What a worker that could not write says of it; None when that was not for want of room."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return TaskFailed(DISK_FULL, f"the worker's disk is full: {error.filename or error.strerror}")
