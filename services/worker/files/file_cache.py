"""Files that this host has had and may need again: what a stage left for the next one, and constant data."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

CAPACITY = 10 << 30
"""Bytes."""
MAX_FILE_BYTES = CAPACITY // 4
"""Of one file."""


class FileCache:
    """By name and content. The file used longest ago goes first.

    `link`: what is taken from here cannot be written to, so it need not be a copy.
    """

    def __init__(self, root: Path, *, hard_links: bool, capacity: int = CAPACITY) -> None:
        self._root, self._hard_links, self._capacity = root, hard_links, capacity
        self._used: int | None = None
        """Bytes, once they were counted."""

    async def get_into(self, key: str, size: int, target: Path, incoming: Path) -> bool:
        """Put the file at `target`, by way of the folder `aside`; False when it is not here with all its bytes."""
        return await asyncio.to_thread(self._get_into, key, size, target, incoming)

    async def add(self, key: str, source: Path) -> None:
        """Keep a file that is whole. What cannot be kept is not missed."""
        await asyncio.to_thread(self._add, key, source)

    def _get_into(self, key: str, size: int, target: Path, incoming: Path) -> bool:
        cached, partial = self._root / key, incoming / uuid4().hex
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._copy_or_link(cached, partial)
            if partial.stat().st_size != size:  # the host went down before all of it was on the disk
                cached.unlink(missing_ok=True)
                raise OSError(f"{cached} has been cut")
            partial.rename(target)  # a copy that breaks off is not taken for the file
            os.utime(cached)
        except OSError:
            partial.unlink(missing_ok=True)
            return False
        return True

    def _add(self, key: str, source: Path) -> None:
        cached, partial = self._root / key, self._root / f".{uuid4().hex}"
        try:
            size = source.stat().st_size
            if size > min(MAX_FILE_BYTES, self._capacity) or cached.exists():
                return
            self._root.mkdir(parents=True, exist_ok=True)
            self._copy_or_link(source, partial)
            partial.chmod(0o444)
            partial.rename(cached)
            os.utime(cached)
        except OSError:
            return
        finally:
            partial.unlink(missing_ok=True)
        self._used = self._count_used() if self._used is None else self._used + size
        if self._used > self._capacity:
            self._evict()

    def _copy_or_link(self, source: Path, target: Path) -> None:
        if not self._hard_links:
            shutil.copyfile(source, target)
            return
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copyfile(source, target)

    def _count_used(self) -> int:
        return sum(file.stat().st_size for file in self._root.iterdir() if file.is_file())

    def _evict(self) -> None:
        """A tenth more than needed, so that it is not made again at once."""
        files = sorted(
            (file.stat().st_mtime, file.stat().st_size, file) for file in self._root.iterdir() if file.is_file()
        )
        used = sum(size for _, size, _ in files)
        for _, size, file in files:
            if used <= self._capacity * 0.9:
                break
            file.unlink(missing_ok=True)
            used -= size
        self._used = used


def file_cache_key(app: str, source: Mapping[str, Any], name: str, size: int, etag: str | None) -> str:
    """What an attempt has left never changes; what is in a box may, and is told apart by its ETag."""
    location = {part: source.get(part) for part in ("box", "user", "group", "area", "file")}
    version = None if source.get("area") else etag
    return hashlib.sha256(repr((app, sorted(location.items(), key=str), name, size, version)).encode()).hexdigest()
