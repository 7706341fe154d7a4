"""Kills processes that escaped from a task's session (`setsid`, double fork).

Each task has a tag that its processes inherit whatever they do to their parents, sessions, environment and title: the
soft limit RLIMIT_RSS, which Linux passes on and otherwise ignores (getrlimit(2)). Reading it of any process of the same
user takes a microsecond.
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
"""The unit of this limit in `ulimit -m`."""
MIN_TAG = 1 << 52
"""In this unit: four exbibytes, more than any program that reads this limit can need."""
RECHECK_S = 0.01
"""Pause before the next round: killed processes must have ended and started no others."""
KILL_TIMEOUT_S = 5.0
"""How long killed processes may take to end."""


def process_tag(installation: str, folder: Path) -> int:
    """The tag of the task in `folder`, for `ulimit -m`; unique per folder and mesh."""
    digest = hashlib.sha256(os.fsencode(f"{installation} {folder}")).digest()
    return MIN_TAG + int.from_bytes(digest[:8]) % MIN_TAG


async def kill_tagged(tags: Collection[int]) -> None:
    """Kill all processes with these tags; return when none is left, or after a timeout."""
    limits, ended = frozenset(tag * LIMIT_UNIT for tag in tags), set[int]()
    with suppress(TimeoutError):
        async with asyncio.timeout(KILL_TIMEOUT_S):
            while await asyncio.to_thread(_kill_round, limits, ended):  # noqa: ASYNC110  there is no event to wait for
                await asyncio.sleep(RECHECK_S)


def _kill_round(limits: frozenset[int], ended: set[int]) -> bool:
    """Kill tagged processes once; return whether another round is needed, as they may have started others.

    The youngest are killed first: short-lived ones may fork and exit any moment.
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
    """Kill through a pidfd and check the tag again: the pid may have been reused."""
    with suppress(OSError):
        descriptor = os.pidfd_open(pid)
        try:
            if _read_limit(pid) in limits:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
