"""Uploads and downloads of local files. `-` is standard input or output."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from services.cli.cli_errors import Failure

CHUNK_BYTES = 256 * 1024
STANDARD_STREAM = Path("-")


@dataclass
class Content:
    """Content of an upload. `size` is None if it is unknown."""

    name: str
    stream: IO[bytes]
    size: int | None
    sent: int = 0

    def read_pieces(self, advance: Callable[[int], None]) -> Iterator[bytes]:
        """Yield `size` bytes. Raises Failure if the file became shorter."""
        while piece := self.stream.read(CHUNK_BYTES if self.size is None else min(CHUNK_BYTES, self.size - self.sent)):
            self.sent += len(piece)
            advance(len(piece))
            yield piece
        if self.size is not None and self.sent < self.size:
            raise Failure(f"{self.name} became shorter while it was sent; nothing was stored")


@contextmanager
def open_content(source: Path) -> Iterator[Content]:
    """Open a file, or standard input. Raises Failure if it cannot be read."""
    if source == STANDARD_STREAM:
        if sys.stdin is None:
            raise Failure("standard input is closed")
        yield Content("standard input", sys.stdin.buffer, None)
        return
    with source.open("rb") as stream:
        state = os.fstat(stream.fileno())
        size = stat.S_ISREG(state.st_mode) and state.st_size  # files of /proc have content but size 0
        yield Content(str(source), stream, state.st_size if size else None)


def has_name(source: Path) -> bool:
    """Whether a file in a box can get the source's name; standard input, pipes and devices have none."""
    return source != STANDARD_STREAM and source.is_file()


def list_files(folder: Path) -> list[Path]:
    """All files below the folder, sorted. Raises Failure for a file that cannot be sent."""
    files = sorted(_walk_files(folder))
    if not files:
        raise Failure(f"there is no file in {folder}")
    return files


def _walk_files(folder: Path) -> Iterator[Path]:
    def raise_unreadable(error: OSError) -> None:
        raise Failure(f"{error.filename} cannot be read: {error.strerror}") from error

    for parent, folders, names in os.walk(folder, onerror=raise_unreadable):
        for path in (Path(parent, name) for name in (*folders, *names)):
            if reason := _refusal_reason(path):
                raise Failure(f"{path!s:.200} {reason}; nothing was sent".encode(errors="backslashreplace").decode())
        yield from (Path(parent, name) for name in names)


def _refusal_reason(path: Path) -> str | None:
    if path.is_dir():
        return "is a link to a folder" if path.is_symlink() else None
    if not path.exists():
        return "is a link to nothing"
    if not path.is_file():
        return "is not a regular file"
    if not os.access(path, os.R_OK):
        return "cannot be read"
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    return None


@contextmanager
def open_target(target: Path) -> Iterator[IO[bytes]]:
    """Open a target; a regular file appears under its name when it is complete."""
    if target == STANDARD_STREAM:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif target.exists() and not target.is_file():  # a pipe or a device
        with target.open("wb") as stream:
            yield stream
    else:
        with _open_temporary(target) as stream:
            yield stream


@contextmanager
def _open_temporary(target: Path) -> Iterator[IO[bytes]]:
    """A temporary file with a short, unique name, which cannot clash with a downloaded one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".mlmesh-{secrets.token_hex(16)}")
    try:
        with part.open("xb") as stream:
            yield stream
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
