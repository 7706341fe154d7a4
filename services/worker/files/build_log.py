"""What a build writes: stored in a file, and followed from there while it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

READ_BYTES = 64 * 1024
MAX_BYTES = 101 * 1000**2
"""More than databox keeps, which says where it cuts."""


class BuildLog:
    """The output of one build. A reader never slows the build."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._size = 0
        self._has_ended = False
        self._change = asyncio.Event()

    def write(self, piece: bytes) -> None:
        """Append it; what databox would not keep is dropped."""
        stored = piece[: max(0, MAX_BYTES - self._size)]
        if stored:
            with self._file.open("ab") as file:
                file.write(stored)
            self._size += len(stored)
            self._change.set()

    def end(self) -> None:
        self._has_ended = True
        self._change.set()

    async def follow_log(self, name: str, offset: int) -> AsyncIterator[bytes]:
        """From a byte offset until it has ended and everything is read. `name` is not used: there is one log."""
        position = offset
        while True:
            has_ended = self._has_ended
            self._change.clear()
            while piece := await asyncio.to_thread(self._read, position):
                position += len(piece)
                yield piece
            if has_ended:
                return
            await self._change.wait()

    def _read(self, position: int) -> bytes:
        if not self._file.exists():
            return b""
        with self._file.open("rb") as file:
            file.seek(position)
            return file.read(READ_BYTES)
