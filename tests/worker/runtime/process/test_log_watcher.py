"""Followed logs share one timer; readers wait no longer than with timers of their own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from services.worker.runtime.process import log_watcher
from services.worker.runtime.process.child_process import ChildProcess
from services.worker.runtime.process.log_watcher import POLL_S, QUIET_POLL_S, LogWatcher

LONG_QUIET_S = 100.0
DEADLINE_S = 30.0
LINES = 60


@pytest.fixture
def log_file(tmp_path: Path) -> BinaryIO:
    (tmp_path / "log").write_bytes(b"")
    return (tmp_path / "log").open("rb")


def append(file: BinaryIO) -> None:
    with open(file.name, "ab") as log:
        log.write(b"line\n")


async def wait_for_change(
    watcher: LogWatcher, file: BinaryIO, *, quiet_s: float = 0.0, ended: bool = False, child: ChildProcess | None = None
) -> float:
    """Seconds until the reader was woken."""
    clock = asyncio.get_running_loop().time
    start = clock()
    async with asyncio.timeout(DEADLINE_S):
        await watcher.wait_for_change(file, start - quiet_s, lambda: ended, child)
    return clock() - start


@pytest.mark.virtual_time
@pytest.mark.parametrize(("quiet_s", "limit"), [(0.0, POLL_S), (LONG_QUIET_S, QUIET_POLL_S)])
async def test_a_reader_is_woken_within_its_interval(log_file: BinaryIO, quiet_s: float, limit: float) -> None:
    with log_file:
        append(log_file)
        assert await wait_for_change(LogWatcher(), log_file, quiet_s=quiet_s) <= limit


@pytest.mark.virtual_time
async def test_a_busy_log_is_checked_while_another_is_quiet(log_file: BinaryIO, tmp_path: Path) -> None:
    (tmp_path / "quiet").touch()
    watcher = LogWatcher()
    with log_file, (tmp_path / "quiet").open("rb") as quiet_file:
        quiet_reader = asyncio.create_task(wait_for_change(watcher, quiet_file, quiet_s=LONG_QUIET_S))
        await asyncio.sleep(0)
        append(log_file)
        assert await wait_for_change(watcher, log_file) <= POLL_S
        assert not quiet_reader.done()
        append(quiet_file)
        await quiet_reader


@pytest.mark.virtual_time
async def test_the_end_of_a_process_that_an_earlier_worker_started_wakes_its_reader(log_file: BinaryIO) -> None:
    with log_file:
        assert await wait_for_change(LogWatcher(), log_file, ended=True) <= POLL_S


async def test_the_end_of_a_child_wakes_its_reader_at_once(log_file: BinaryIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_watcher, "QUIET_POLL_S", 2 * DEADLINE_S)
    monkeypatch.setattr(log_watcher, "POLL_S", 2 * DEADLINE_S)
    with log_file:
        child = ChildProcess(["/bin/sh", "-c", "sleep 0.2"], os.environ)
        for _ in range(2):  # it ends, and has ended
            await wait_for_change(LogWatcher(), log_file, child=child)


async def test_busy_logs_are_read_to_their_end_on_uvloop(tmp_path: Path) -> None:
    """uvloop fires timers up to a millisecond early, and gives handles without a time for what is due at once."""
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.touch()

    async def read_lines(watcher: LogWatcher, path: Path) -> int:
        lines, clock = 0, asyncio.get_running_loop().time
        with path.open("rb") as file:
            while lines < LINES:
                await watcher.wait_for_change(file, clock(), lambda: False, None)
                lines += file.read().count(b"\n")
        return lines

    async def write_lines() -> None:
        for number in range(LINES):
            await asyncio.sleep(0.035)
            for path in paths[: 1 + number % len(paths)]:
                with path.open("ab") as log:
                    log.write(b"line\n")
        for path in paths:
            with path.open("ab") as log:
                log.write(b"line\n" * LINES)

    watcher = LogWatcher()
    async with asyncio.timeout(DEADLINE_S):
        writer = asyncio.create_task(write_lines())
        counts = await asyncio.gather(*(read_lines(watcher, path) for path in paths))
        await writer
    assert min(counts) >= LINES
