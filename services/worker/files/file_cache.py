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
LARGEST = CAPACITY // 4
"""Of one file."""


class Shelf:
    """By name and content. The file used longest ago goes first.

    `link`: what is taken from here cannot be written to, so it need not be a copy.
    """

    def __init__(self, root: Path, *, link: bool, capacity: int = CAPACITY) -> None:
        self._root, self._link, self._capacity = root, link, capacity
        self._used: int | None = None
        """Bytes, once they were counted."""

    async def take(self, key: str, size: int, target: Path, aside: Path) -> bool:
        """Put the file at `target`, by way of the folder `aside`; False when it is not here with all its bytes."""
        return await asyncio.to_thread(self._take, key, size, target, aside)

    async def put(self, key: str, source: Path) -> None:
        """Keep a file that is whole. What cannot be kept is not missed."""
        await asyncio.to_thread(self._put, key, source)

    def _take(self, key: str, size: int, target: Path, aside: Path) -> bool:
        kept, part = self._root / key, aside / uuid4().hex
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._bring(kept, part)
            if part.stat().st_size != size:  # the host went down before all of it was on the disk
                kept.unlink(missing_ok=True)
                raise OSError(f"{kept} has been cut")
            part.rename(target)  # a copy that breaks off is not taken for the file
            os.utime(kept)
        except OSError:
            part.unlink(missing_ok=True)
            return False
        return True

    def _put(self, key: str, source: Path) -> None:
        kept, aside = self._root / key, self._root / f".{uuid4().hex}"
        try:
            size = source.stat().st_size
            if size > min(LARGEST, self._capacity) or kept.exists():
                return
            self._root.mkdir(parents=True, exist_ok=True)
            self._bring(source, aside)
            aside.chmod(0o444)
            aside.rename(kept)
            os.utime(kept)
        except OSError:
            return
        finally:
            aside.unlink(missing_ok=True)
        self._used = self._counted() if self._used is None else self._used + size
        if self._used > self._capacity:
            self._make_room()

    def _bring(self, source: Path, target: Path) -> None:
        if not self._link:
            shutil.copyfile(source, target)
            return
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copyfile(source, target)

    def _counted(self) -> int:
        return sum(one.stat().st_size for one in self._root.iterdir() if one.is_file())

    def _make_room(self) -> None:
        """A tenth more than needed, so that it is not made again at once."""
        files = sorted((one.stat().st_mtime, one.stat().st_size, one) for one in self._root.iterdir() if one.is_file())
        used = sum(size for _, size, _ in files)
        for _, size, one in files:
            if used <= self._capacity * 0.9:
                break
            one.unlink(missing_ok=True)
            used -= size
        self._used = used


def key(app: str, source: Mapping[str, Any], name: str, size: int, etag: str | None) -> str:
    """What an attempt has left never changes; what is in a box may, and is told apart by its ETag."""
    place = {part: source.get(part) for part in ("box", "user", "group", "area", "file")}
    mark = None if source.get("area") else etag
    return hashlib.sha256(repr((app, sorted(place.items(), key=str), name, size, mark)).encode()).hexdigest()
