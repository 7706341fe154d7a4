"""Disk limits: how much a stage may write, and whether the host's disk is full."""

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
"""Interval of checks of the free space, which cost one system call: a disk fills quickly."""
MIN_SHARE = 10
"""A stage that uses less than a tenth of the reserve is not blamed for a full disk."""
SCAN_REST_FACTOR = 20.0
"""A scan of many files is followed by a pause of this multiple of its duration."""
MIN_FREE_BYTES = 1 << 20
"""Bytes: a disk with less free space is full."""
DISK_FULL = "disk_full"


async def wait_until_over_limit(folder: Path, limit: int, reserve: int | None = None) -> TaskFailed:
    """Return the failure once `folder` exceeds `limit` bytes, or contributes to using up the disk's reserve."""
    disk, next_scan = Disk(folder, reserve), 0.0
    while True:
        started = time.monotonic()
        low = not disk.has_free_space()
        if low or started >= next_scan:
            used = await asyncio.to_thread(count_used_bytes, folder)
            if used > limit:
                gigabytes = f"{limit / 1e9:g} GB"
                return TaskFailed(
                    DISK_FULL, f"it wrote more than {gigabytes} to its worker's disk (MLMESH_SCRATCH_LIMIT)"
                )
            if low and used > disk.free_and_reserve[1] // MIN_SHARE:
                return TaskFailed(DISK_FULL, f"it wrote {used} bytes to its worker's disk, and {disk.describe_full()}")
            next_scan = time.monotonic() + max(SCAN_INTERVAL_S, SCAN_REST_FACTOR * (time.monotonic() - started))
        await asyncio.sleep(CHECK_INTERVAL_S)


def count_used_bytes(folder: Path) -> int:
    """Bytes on the disk below `folder`; files that vanish during the scan count nothing."""
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
    """Translate a write error of a full disk; None for any other error."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return TaskFailed(DISK_FULL, f"the worker's disk is full: {error.filename or error.strerror}")
