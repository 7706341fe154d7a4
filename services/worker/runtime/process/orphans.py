"""Processes that a task leaves in a session of their own (`setsid`, a double fork): they are found, and ended with it.

Each task has a mark that its processes inherit and keep, whatever they do to their parents, sessions, environment and
title: the soft limit of their resident memory, a number that Linux hands on and otherwise ignores (getrlimit(2)).
Any process of the same user can be asked for it, in a microsecond.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import signal
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from services.worker.runtime.process.process_state import read_start_time

LIMIT_UNIT = 1024
"""What a shell counts this limit in."""
MIN_TAG = 1 << 52
"""In these units: four exbibytes, more than any program that looks at this limit can want."""
RECHECK_S = 0.01
"""Until it is seen whether those that were killed have ended, and have begun no others meanwhile."""
KILL_TIMEOUT_S = 5.0
"""How long the kernel may take to end them."""


def process_tag(installation: str, folder: Path) -> int:
    """That of the task in `folder`, for `ulimit -m`: another for every folder, and for every mesh."""
    digest = hashlib.sha256(os.fsencode(f"{installation} {folder}")).digest()
    return MIN_TAG + int.from_bytes(digest[:8]) % MIN_TAG


async def kill_tagged(tags: Collection[int]) -> None:
    """Returns when none of the processes with these marks is left, or the kernel does not end them."""
    limits, ended = frozenset(tag * LIMIT_UNIT for tag in tags), set[int]()
    with suppress(TimeoutError):
        async with asyncio.timeout(KILL_TIMEOUT_S):
            while await asyncio.to_thread(_kill_round, limits, ended):  # noqa: ASYNC110  nobody tells us
                await asyncio.sleep(RECHECK_S)


def _kill_round(limits: frozenset[int], ended: set[int]) -> bool:
    """Whether one was found that is not among the `ended`, or is gone: it may have begun others during this look.

    The youngest are ended first, at once: they may be gone a moment later.
    """
    active = False
    for pid in sorted(map(int, filter(str.isdigit, os.listdir("/proc"))), reverse=True):
        try:
            if resource.prlimit(pid, resource.RLIMIT_RSS)[0] not in limits:
                continue
        except ProcessLookupError:
            active = True
            continue
        except OSError:  # another user's
            continue
        _kill_if_tagged(pid, limits)
        active = active or pid not in ended
        if read_start_time(pid) is None:
            ended.add(pid)
    return active


def _read_limit(pid: int) -> int | None:
    try:
        return resource.prlimit(pid, resource.RLIMIT_RSS)[0]
    except OSError:  # another user's, or gone
        return None


def _kill_if_tagged(pid: int, limits: frozenset[int]) -> None:
    """Its number may be another's by now: what is held is asked again."""
    with suppress(OSError):
        descriptor = os.pidfd_open(pid)
        try:
            if _read_limit(pid) in limits:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
