"""ETag cache of the directory store: SHA-256 of each file's content, one small file per key.

An entry is valid while inode, size and modification time are those of the file; otherwise the hash is computed again.
So a crash between the two writes, a file that was copied in by hand, or a damaged entry does no harm.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path
from uuid import uuid4

ETAG_DIGITS = 40
ENTRY = re.compile(rb"(?P<etag>[0-9a-f]{%d}) (?P<identity>[0-9 ]+)" % ETAG_DIGITS)
MAX_ENTRY_BYTES = 200


class EtagCache:
    """Entries are files in `folder`, written to `incoming` first and then renamed."""

    def __init__(self, folder: Path, incoming: Path) -> None:
        self._folder = folder
        self._incoming = incoming

    def get(self, key: str, file: Path, state: os.stat_result) -> str:
        """The ETag of `file`, whose state is `state`. Raises FileNotFoundError if it was deleted meanwhile."""
        entry = ENTRY.fullmatch(self._read_entry(key))
        if entry is not None and entry["identity"].decode() == _file_identity(state):
            return entry["etag"].decode()
        return self._compute_etag(key, file)

    def _read_entry(self, key: str) -> bytes:
        """Empty if the entry cannot be read; the caller computes the hash then."""
        try:
            with self._entry_path(key).open("rb") as opened:
                return opened.read(MAX_ENTRY_BYTES)
        except OSError:
            return b""

    def put(self, key: str, etag: str, state: os.stat_result) -> None:
        path, incoming = self._entry_path(key), self._incoming / uuid4().hex
        incoming.write_text(f"{etag} {_file_identity(state)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            incoming.replace(path)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            _remove_obstacle(path)
            incoming.replace(path)

    def remove(self, key: str) -> None:
        with suppress(NotADirectoryError, IsADirectoryError):
            self._entry_path(key).unlink(missing_ok=True)

    def _compute_etag(self, key: str, file: Path) -> str:
        with file.open("rb") as opened:
            etag = file_digest(opened, "sha256").hexdigest()[:ETAG_DIGITS]
            with suppress(OSError):  # reading must work on a read-only disk
                self.put(key, etag, os.fstat(opened.fileno()))
        return etag

    def _entry_path(self, key: str) -> Path:
        """Named by hash: never too long, and never both a file and a folder."""
        name = sha256(key.encode()).hexdigest()
        return self._folder / name[:2] / name[2:]


def _remove_obstacle(path: Path) -> None:
    """Delete a file or folder that blocks the entry's path."""
    if not path.parent.is_dir():
        path.parent.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)


def _file_identity(state: os.stat_result) -> str:
    return f"{state.st_ino} {state.st_size} {state.st_mtime_ns}"
