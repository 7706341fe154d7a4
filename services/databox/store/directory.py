"""The store in a directory of this machine.

ROOT/objects/<key>   the bytes
ROOT/etags/          the etags of the objects
ROOT/incoming/       files that are being written
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import BinaryIO
from uuid import uuid4

from libs.common.disk import Disk, is_disk_full
from libs.common.errors import Conflict, DiskFull, MeshError, NotFound, Unavailable
from libs.common.http.ranges import Span
from libs.common.protocol.staging import Audience
from libs.common.signed_tokens import TokenSigner
from services.databox.links import Link, Method
from services.databox.store import CHUNK_BYTES, ExpectedVersion, Stat, list_in_batches
from services.databox.store.etag_cache import ETAG_DIGITS, EtagCache
from services.databox.store.listing import walk_keys
from services.databox.store.transfer import check_size

MOVE_ATTEMPTS = 5
"""Attempts of a rename whose target folder a concurrent delete may just have removed."""
RETRY_AFTER_S = 5.0
LOCK_COUNT = 64
ABANDONED_AFTER_S = 24 * 3600.0
"""An incoming file without writes for this long is deleted."""


class DirectoryStore:
    has_presigned_links = False

    def __init__(
        self, root: str, signer: TokenSigner, *, internal_url: str, public_url: str, reserve: int | None = None
    ) -> None:
        self._root = Path(root)
        self._disk = Disk(self._root, reserve)
        self._objects = self._root / "objects"
        self._incoming = self._root / "incoming"
        self._etags = EtagCache(self._root / "etags", self._incoming)
        self._signer = signer
        self._urls = {"inside": internal_url, "public": public_url}
        self._locks = [Lock() for _ in range(LOCK_COUNT)]

    async def put(
        self, key: str, body: AsyncIterator[bytes], size: int | None = None, *, expected: ExpectedVersion | None = None
    ) -> Stat:
        incoming = self._incoming / uuid4().hex
        hasher = sha256()
        try:
            await asyncio.to_thread(self._disk.check_free_space, size or 0)
            with await asyncio.to_thread(_create_file, incoming) as file:
                async for chunk in body if size is None else check_size(body, size):
                    await asyncio.to_thread(self._write_chunk, file, chunk, hasher.update)
            return await asyncio.to_thread(self._commit_file, incoming, key, hasher.hexdigest()[:ETAG_DIGITS], expected)
        except OSError as error:
            raise _translate_error(error, key) from error
        finally:
            incoming.unlink(missing_ok=True)

    def _write_chunk(self, file: BinaryIO, chunk: bytes, update_hash: Callable[[bytes], None]) -> None:
        """Raises DiskFull. Checked per chunk: the size may be unknown, and other uploads fill the disk meanwhile."""
        self._disk.check_free_space(len(chunk))
        file.write(chunk)
        update_hash(chunk)

    def _commit_file(self, incoming: Path, key: str, etag: str, expected: ExpectedVersion | None = None) -> Stat:
        state = incoming.stat()
        with self._lock_for(key):
            self._check_version(key, expected)
            self._etags.put(key, etag, state)
            _move_file(incoming, self._objects / key)
        return Stat(key, state.st_size, etag, state.st_mtime)

    def _lock_for(self, key: str) -> Lock:
        """The lock of a key; keys with the same hash remainder share one."""
        return self._locks[hash(key) % len(self._locks)]

    def _check_version(self, key: str, expected: ExpectedVersion | None) -> None:
        if expected is not None and ExpectedVersion.from_stat(self._stat_file(key)) != expected:
            raise ExpectedVersion.mismatch_error(key)

    @asynccontextmanager
    async def get(self, stat: Stat, span: Span | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        try:
            file = await asyncio.to_thread((self._objects / stat.key).open, "rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotFound(f"{stat.key} was deleted") from error
        with file:
            state = os.fstat(file.fileno())
            if (state.st_size, state.st_mtime) != (stat.size, stat.modified):
                raise Unavailable(f"{stat.key} has just been replaced")
            yield _read_span(file, span or Span(0, stat.size))

    async def stat(self, key: str) -> Stat | None:
        return await asyncio.to_thread(self._stat_file, key)

    def _stat_file(self, key: str) -> Stat | None:
        path = self._objects / key
        try:
            if key.endswith("/") or not path.is_file():
                return None
            state = path.stat()
            return Stat(key, state.st_size, self._etags.get(key, path, state), state.st_mtime)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _translate_error(error, key) from error

    def list(self, prefix: str, start_after: str = "", limit: int | None = None) -> AsyncIterator[Stat]:
        return list_in_batches(self._iterate_stats(prefix, start_after), asyncio.to_thread, limit)

    def _iterate_stats(self, prefix: str, start_after: str) -> Iterator[Stat]:
        for key in walk_keys(self._objects, prefix, start_after):
            if (stat := self._stat_file(key)) is not None:
                yield stat

    async def delete(self, key: str, *, expected: ExpectedVersion | None = None) -> None:
        await asyncio.to_thread(self._delete_file, key, expected)

    def _delete_file(self, key: str, expected: ExpectedVersion | None) -> None:
        path = self._objects / key
        try:
            with self._lock_for(key):
                self._check_version(key, expected)
                path.unlink(missing_ok=True)
                self._etags.remove(key)
        except (NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise _translate_error(error, key) from error
        _remove_empty_folders(path.parent, self._objects)

    async def copy(self, source: Stat, target: str) -> Stat:
        try:
            return await asyncio.to_thread(self._copy_file, source, target)
        except FileNotFoundError as error:
            raise NotFound(f"{source.key} was deleted") from error
        except OSError as error:
            raise _translate_error(error, target) from error

    def _copy_file(self, source: Stat, target: str) -> Stat:
        incoming = self._incoming / uuid4().hex
        self._incoming.mkdir(parents=True, exist_ok=True)
        try:
            _link_or_copy(self._objects / source.key, incoming)
            return self._commit_file(incoming, target, source.etag)
        finally:
            incoming.unlink(missing_ok=True)

    async def link(self, method: Method, key: str, expires: int, audience: Audience, size: int | None = None) -> str:
        return Link(method, key, time.time() + expires, size).to_url(self._urls[audience], self._signer)

    async def ready(self) -> None:
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            await asyncio.to_thread(_delete_abandoned, self._incoming)
        except OSError as error:
            raise Unavailable(f"the store's folder {self._root}: {error.strerror}") from error
        if not os.access(self._incoming, os.W_OK | os.X_OK):
            raise Unavailable(f"the store's folder {self._root} cannot be written")


def _delete_abandoned(incoming: Path) -> None:
    """Delete files that databox was writing when it died."""
    for path in incoming.iterdir():
        try:
            if time.time() - path.stat().st_mtime > ABANDONED_AFTER_S:
                path.unlink()
        except FileNotFoundError:
            continue


def _create_file(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")


async def _read_span(file: BinaryIO, span: Span) -> AsyncIterator[bytes]:
    file.seek(span.start)
    remaining = span.length
    while remaining and (chunk := await asyncio.to_thread(file.read, min(CHUNK_BYTES, remaining))):
        remaining -= len(chunk)
        yield chunk


def _link_or_copy(source: Path, target: Path) -> None:
    """Files are never modified in place, so a hard link can stand for a copy where the file system supports it."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _move_file(source: Path, target: Path) -> None:
    for attempts_left in reversed(range(MOVE_ATTEMPTS)):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.replace(target)
        except FileNotFoundError:
            if not attempts_left:
                raise
        else:
            return


def _remove_empty_folders(folder: Path, root: Path) -> None:
    """Remove empty parent folders."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _translate_error(error: OSError, key: str) -> MeshError:
    if isinstance(error, (FileExistsError, IsADirectoryError, NotADirectoryError)):
        return Conflict(f"{key}: a file and a folder cannot have the same name")
    if is_disk_full(error):
        return DiskFull("the disk that the store is on is full")
    return Unavailable(f"the store's folder cannot be used: {error.strerror}", retry_after=RETRY_AFTER_S)
