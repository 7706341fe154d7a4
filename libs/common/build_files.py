"""Reads from a folder on disk what decides about its image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from libs.common.dockerfile import READ_FILES
from libs.common.python_packages import RELEVANT_PATTERNS


def read_build_files(folder: Path, paths: Iterable[str] = ()) -> dict[str, bytes]:
    """Files by path, with content where that matters; `paths` are others to look for."""
    files = {path for pattern in RELEVANT_PATTERNS for path in folder.glob(pattern)}
    files |= {folder / name for name in (*READ_FILES, *paths)}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.name in READ_FILES else b""
        for path in sorted(files)
        if path.is_file()
    }
