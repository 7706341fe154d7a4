"""Runs an installer (pip): reports its output as progress, and kills it if it writes nothing for long.

pip handles an index that does not respond (15 s, a few retries, each printed). It has no timeout for a page that never
ends or for the repository of a `git+https://` requirement: the silence timeout covers those. It is long, because
builds may print nothing for minutes; downloads print their progress.
"""

from __future__ import annotations

import asyncio
import os
import re
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from libs.common.idle_timeout import IdleTimeout, limit_idle_time
from libs.common.process_group import end_process_group
from services.worker.runtime import Progress, RuntimeFailure

LAST_LINES = 10
"""Last lines of output that a failure reports."""
DOWNLOAD_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
GIT_ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": "60"}
"""For requirements in Git repositories: no prompts, and a timeout for stalled servers."""


@dataclass(frozen=True)
class InstallTimeouts:
    """Seconds without output, and seconds in total."""

    silence: float
    total: float


DEFAULT_TIMEOUTS = InstallTimeouts(silence=15 * 60.0, total=4 * 3600.0)


class InstallOutput:
    """Output of an installer: progress, and the last lines for a failure."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.lines: deque[str] = deque(maxlen=LAST_LINES)

    def add_line(self, line: str) -> None:
        if match := DOWNLOAD_PROGRESS.fullmatch(line):
            done, total = (int(size) / 1e6 for size in match.groups())
            self._progress(f"downloaded {done:.1f} of {total:.1f} MB")
        elif line:
            self.lines.append(line)
            self._progress(line[:200])

    def to_failure(self, why: str) -> RuntimeFailure:
        return RuntimeFailure("source", "\n".join([f"cannot install the requirements{why}:", *self.lines]))


async def run_installer(command: list[str], cwd: Path | None, progress: Progress, timeouts: InstallTimeouts) -> None:
    """Run an installer. Raises RuntimeFailure("source") with its last lines."""
    output = InstallOutput(progress)
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=installer_environment(os.environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeouts.total):
            code = await _wait_for_exit(process, output, timeouts.silence)
    except TimeoutError as error:
        raise output.to_failure(f" within {format_duration(timeouts.total)}") from error
    finally:
        await end_process_group(process)
    if code:
        raise output.to_failure("")


async def _wait_for_exit(process: Process, output: InstallOutput, silence: float) -> int:
    """Return its exit code. Raises RuntimeFailure after the silence timeout."""
    assert process.stdout is not None  # noqa: S101  requested above
    try:
        async with limit_idle_time(silence) as restart_timeout:
            async for line in process.stdout:
                restart_timeout()
                output.add_line(line.decode(errors="replace").strip())
            return await process.wait()
    except IdleTimeout as error:
        raise output.to_failure(f": no output for {format_duration(silence)}; last lines") from error


def installer_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment without the mesh's settings, which contain its keys; the operator's Git settings win."""
    return GIT_ENVIRONMENT | {name: value for name, value in variables.items() if not name.startswith("MLMESH_")}


def format_duration(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 120 else f"{seconds:g} s"
