"""LRU cache of files on this host: outputs of a stage that the next one reads, and constant inputs."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from pathlib import Path
from uuid import uuid4

from libs.common.locations import Location

CAPACITY = 10 << 30
"""Bytes."""
MAX_FILE_BYTES = CAPACITY // 4
"""Bytes of one file."""


class FileCache:
    """Files by cache key; the least recently used one is evicted first.

    `hard_links`: tasks cannot write to their inputs, so that files need not be copied.
    """

    def __init__(self, root: Path, *, hard_links: bool, capacity: int = CAPACITY) -> None:
        self._root, self._hard_links, self._capacity = root, hard_links, capacity
        self._used: int | None = None
        """Bytes in the cache; None until they are counted."""

    async def get_into(self, key: str, size: int, target: Path, incoming: Path) -> bool:
        """Place the cached file at `target`, through the folder `incoming`. False: not cached, or truncated."""
        return await asyncio.to_thread(self._get_into, key, size, target, incoming)

    async def add(self, key: str, source: Path) -> None:
        """Add a complete file; failures are ignored."""
        await asyncio.to_thread(self._add, key, source)

    def _get_into(self, key: str, size: int, target: Path, incoming: Path) -> bool:
        cached, partial = self._root / key, incoming / uuid4().hex
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._copy_or_link(cached, partial)
            if partial.stat().st_size != size:  # truncated: the host went down during a write
                cached.unlink(missing_ok=True)
                raise OSError(f"{cached} is truncated")
            partial.rename(target)  # atomic: an aborted copy never appears at the target
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
        """Free a tenth more than needed, so that the next eviction is not immediate."""
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


def file_cache_key(app: str, source: Location, name: str, size: int, etag: str | None) -> str:
    """Build the key of a file. Files of an attempt never change; those in a box may, so their ETag counts."""
    location = source.model_dump()
    version = None if source.area else etag
    return hashlib.sha256(repr((app, sorted(location.items(), key=str), name, size, version)).encode()).hexdigest()
