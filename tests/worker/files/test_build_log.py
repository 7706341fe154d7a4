"""The log of a build, followed while it grows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.worker.files import build_log
from services.worker.files.build_log import BuildLog


async def test_a_reader_gets_what_was_written_and_what_comes_until_the_end(tmp_path: Path) -> None:
    log, pieces = BuildLog(tmp_path / "log"), list[bytes]()

    async def read() -> None:
        async for piece in log.follow_log("any", 1):
            pieces.append(piece)
            if b"two" in piece:
                log.write(b"three")
                log.end()

    log.write(b"one")
    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    log.write(b"two")
    await reader
    assert b"".join(pieces) == b"netwothree"


async def test_a_build_that_wrote_nothing_has_an_empty_log(tmp_path: Path) -> None:
    log = BuildLog(tmp_path / "log")
    log.end()
    assert [piece async for piece in log.follow_log("any", 0)] == []


def test_what_nobody_would_keep_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_log, "MAX_BYTES", 5)
    log = BuildLog(tmp_path / "log")
    for piece in (b"abc", b"def", b"ghi"):
        log.write(piece)
    assert (tmp_path / "log").read_bytes() == b"abcde"
