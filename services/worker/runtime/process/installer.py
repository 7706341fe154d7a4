"""A program that installs something: what it says is told as progress, and it is stopped when it says nothing for long.

An index that is silent is pip's own business (15 s for an answer, a few tries, each told). What pip waits for without
a word is cut by silence: a page that never ends, a repository of a `git+https://` requirement. A build may say nothing
for minutes, so the silence is long as well; a download tells its progress.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.worker.runtime import CannotRun, Progress

KEPT_LINES = 10
"""Last lines of pip that a failure tells."""
DOWNLOADED = re.compile(r"Progress (\d+) of (\d+)")
FOR_GIT = {"GIT_TERMINAL_PROMPT": "0", "GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": "60"}
"""Repositories among the requirements: nobody can be asked, and their servers do not answer for ever."""


@dataclass(frozen=True)
class Patience:
    """Seconds that an installation may say nothing, and that it may take in all."""

    silence: float
    total: float


PATIENCE = Patience(silence=15 * 60.0, total=4 * 3600.0)


class Installation:
    """What it has said so far."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)

    def heard(self, line: str) -> None:
        if found := DOWNLOADED.fullmatch(line):
            done, whole = (int(size) / 1e6 for size in found.groups())
            self._progress(f"downloaded {done:.1f} of {whole:.1f} MB")
        elif line:
            self.lines.append(line)
            self._progress(line[:200])

    def failed(self, why: str) -> CannotRun:
        return CannotRun("source", "\n".join([f"the requirements cannot be installed{why}:", *self.lines]))


async def run(command: list[str], cwd: Path | None, progress: Progress, patience: Patience) -> None:
    """Raises CannotRun("source") with the last lines."""
    installation = Installation(progress)
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=environment(os.environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(patience.total):
            code = await _ended(process, installation, patience.silence)
    except TimeoutError as error:
        raise installation.failed(f" within {minutes(patience.total)}") from error
    finally:
        await _killed(process)
    if code:
        raise installation.failed("")


async def _ended(process: Process, installation: Installation, silence: float) -> int:
    """Its exit code. Raises CannotRun when it is silent for too long."""
    assert process.stdout is not None  # noqa: S101  asked for above
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(silence) as quiet:
            async for line in process.stdout:
                quiet.reschedule(loop.time() + silence)
                installation.heard(line.decode(errors="replace").strip())
            return await process.wait()
    except TimeoutError as error:
        if not quiet.expired():
            raise
        raise installation.failed(f": nothing was said for {minutes(silence)}, after") from error


async def _killed(process: Process) -> None:
    """With the builds and downloads that it started, which outlive it otherwise."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Without the mesh's own settings, which hold its keys; what the operator says of Git counts."""
    return FOR_GIT | {name: value for name, value in given.items() if not name.startswith("MLMESH_")}


def minutes(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 120 else f"{seconds:g} s"
