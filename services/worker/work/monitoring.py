"""What stages and instances have in common while they run: log, progress, and how they end."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from libs.common import log as structured
from services.worker.failures import Failed
from services.worker.files.log_uploader import Log
from services.worker.held_tasks import Holding
from services.worker.runtime import Exit

PROGRESS_S = 0.3
PROGRESS_BYTES = 4096
STOP_GRACE_S = 10.0
NO_PROGRAM = 127
NOT_FOUND = re.compile(r"^\[FATAL tini \(\d+\)\] exec (.+) failed: No such file or directory$", re.MULTILINE)


@asynccontextmanager
async def following(log: Log, holding: Holding, progress: Path | None = None) -> AsyncIterator[None]:
    """The log is sent and the file `progress` told while the body runs; the log's rest follows in bounded time."""
    tasks = [asyncio.create_task(log.run())]
    if progress is not None:
        tasks.append(asyncio.create_task(_progress(holding, progress)))
    await asyncio.sleep(0)  # both have begun: what ended long ago has a log to be drained, too
    try:
        try:
            yield
        except Failed:
            await log.drained()
            _show_progress(holding, progress)
            raise
        await log.drained()
        _show_progress(holding, progress)  # the last word came after the last look
    finally:
        for task in tasks:
            task.cancel()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(error, Exception):
                structured.get("worker").error("following broke", task=holding.lease.task, exc_info=error)


async def _progress(holding: Holding, file: Path) -> None:
    while True:
        _show_progress(holding, file)
        await asyncio.sleep(PROGRESS_S)


def _show_progress(holding: Holding, file: Path | None) -> None:
    if file is not None and (found := last_progress(end_of(file))):
        holding.show(progress=found)


def end_of(file: Path) -> str:
    try:
        with open(file, "rb", opener=_at_once) as opened:
            opened.seek(max(0, file.stat().st_size - PROGRESS_BYTES))
            return opened.read(PROGRESS_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _at_once(path: str, flags: int) -> int:
    """A pipe that somebody put there would be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def last_progress(written: str) -> list[int] | None:
    """The last line `N/M`."""
    found = re.findall(r"^\s*([0-9]{1,15})\s*/\s*([0-9]{1,15})\s*$", written, re.MULTILINE)
    return [int(number) for number in found[-1]] if found else None


def missing(ended: Exit, tail: list[str]) -> str | None:
    """The program that its image lacks, as the engine's init tells it."""
    found = NOT_FOUND.search("\n".join(tail)) if ended.code == NO_PROGRAM else None
    return found[1] if found else None
