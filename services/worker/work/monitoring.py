"""Monitoring of a running container: uploads its log, reports its progress, explains its exit."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from libs.common import log as structured
from services.worker.failures import TaskFailed
from services.worker.files.log_uploader import LogUploader
from services.worker.held_tasks import HeldTask
from services.worker.runtime import Exit

PROGRESS_INTERVAL_S = 0.3
PROGRESS_TAIL_BYTES = 4096
STOP_GRACE_S = 10.0
EXIT_NOT_FOUND = 127
MISSING_PROGRAM = re.compile(r"^\[FATAL tini \(\d+\)\] exec (.+) failed: No such file or directory$", re.MULTILINE)


@asynccontextmanager
async def follow_log_and_progress(
    log: LogUploader, held_task: HeldTask, progress: Path | None = None
) -> AsyncIterator[None]:
    """Upload the log and report the file `progress` while the body runs; then upload the rest within a time limit."""
    tasks = [asyncio.create_task(log.run())]
    if progress is not None:
        tasks.append(asyncio.create_task(_poll_progress(held_task, progress)))
    await asyncio.sleep(0)  # start both tasks: a container that ended long ago has a log to upload, too
    try:
        try:
            yield
        except TaskFailed:
            await log.wait_until_sent()
            _update_progress(held_task, progress)
            raise
        await log.wait_until_sent()
        _update_progress(held_task, progress)  # it may have changed after the last poll
    finally:
        for task in tasks:
            task.cancel()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(error, Exception):
                structured.get("worker").error(
                    "Log or progress streaming failed", task=held_task.lease.task, exc_info=error
                )


async def _poll_progress(held_task: HeldTask, file: Path) -> None:
    while True:
        _update_progress(held_task, file)
        await asyncio.sleep(PROGRESS_INTERVAL_S)


def _update_progress(held_task: HeldTask, file: Path | None) -> None:
    if file is not None and (progress := parse_progress(read_tail(file))):
        held_task.update_status(progress=(progress[0], progress[1]))


def read_tail(file: Path) -> str:
    try:
        with open(file, "rb", opener=_open_nonblocking) as stream:
            stream.seek(max(0, file.stat().st_size - PROGRESS_TAIL_BYTES))
            return stream.read(PROGRESS_TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _open_nonblocking(path: str, flags: int) -> int:
    """A FIFO in place of the file must not block the worker."""
    return os.open(path, flags | os.O_NONBLOCK)


def parse_progress(text: str) -> list[int] | None:
    """Return the last line of the form `N/M`."""
    matches = re.findall(r"^\s*([0-9]{1,15})\s*/\s*([0-9]{1,15})\s*$", text, re.MULTILINE)
    return [int(number) for number in matches[-1]] if matches else None


def find_missing_program(exit_info: Exit, tail: list[str]) -> str | None:
    """Return the program that is missing in the image, according to the engine's init process."""
    match = MISSING_PROGRAM.search("\n".join(tail)) if exit_info.code == EXIT_NOT_FOUND else None
    return match[1] if match else None
