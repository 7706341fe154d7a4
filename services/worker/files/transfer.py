"""Downloads and uploads files through signed links of the store."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar
from uuid import uuid4

import aiohttp
from yarl import URL

from libs.common.errors import Unavailable, find_first_error, from_problem
from libs.common.redaction import redact_links, s3_error_message
from services.worker.failures import TaskFailed
from services.worker.files import disk

CHUNK = 1 << 20
MAX_PARALLEL = 8
"""Concurrent files of one task."""
READ_TIMEOUT_S = 60.0
"""How long a transfer may stall."""
CONNECT_TIMEOUT_S = 5.0

T = TypeVar("T")
TIMEOUT = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S)


async def download(session: aiohttp.ClientSession, url: str, target: Path, incoming: Path) -> None:
    """Atomic: `target` is complete or absent. A partial file has a random name in the folder `incoming`.

    Raises TaskFailed("input") if this host cannot create the file.
    """
    partial = incoming / uuid4().hex
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        async with session.get(URL(url, encoded=True), timeout=TIMEOUT) as response:
            await _raise_for_status(response)
            with partial.open("xb") as file:
                async for chunk in response.content.iter_chunked(CHUNK):
                    await asyncio.to_thread(file.write, chunk)
        partial.rename(target)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"cannot download {target.name}: {_safe_message(error)}") from error
    except OSError as error:
        raise disk.disk_full_failure(error) or _unwritable_error(target, error) from error
    finally:
        partial.unlink(missing_ok=True)


def _unwritable_error(target: Path, error: OSError) -> TaskFailed:
    return TaskFailed("input", f"this worker cannot create a file named {target.name}: {error.strerror}")


async def upload(session: aiohttp.ClientSession, source: Path, size: int, url: str) -> str:
    """Upload a file; return its SHA-256 in hexadecimal digits. Raises OSError if `source` cannot be read."""
    digest = hashlib.sha256()
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    with source.open("rb") as file:
        try:
            body = _read_chunks(file, digest)
            async with session.put(URL(url, encoded=True), data=body, headers=headers, timeout=TIMEOUT) as response:
                await _raise_for_status(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"cannot upload {source.name}: {_safe_message(error)}") from error
    return digest.hexdigest()


async def _read_chunks(file: BinaryIO, digest: hashlib._Hash) -> AsyncIterator[bytes]:
    def read_chunk() -> bytes:
        chunk = file.read(CHUNK)
        digest.update(chunk)
        return chunk

    while chunk := await asyncio.to_thread(read_chunk):
        yield chunk


def _safe_message(error: Exception) -> str:
    return redact_links(str(error)) or type(error).__name__


async def _raise_for_status(response: aiohttp.ClientResponse) -> None:
    if response.status >= 400:
        message = redact_links(s3_error_message(await response.text(errors="replace")))
        raise from_problem(response.status, {"detail": message[:300]})


async def for_each_parallel(items: Iterable[T], transfer_item: Callable[[T], Awaitable[None]]) -> None:
    """Run `transfer_item` for all items, a few concurrently; the first error cancels the others."""
    slots = asyncio.Semaphore(MAX_PARALLEL)

    async def run_one(item: T) -> None:
        async with slots:
            await transfer_item(item)

    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(run_one(item))
    except ExceptionGroup as errors:
        raise find_first_error(errors) from errors


def safe_join(folder: Path, name: str) -> Path:
    """Return the path of `name` in `folder`. Raises TaskFailed for a name that points outside."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/"):
        raise TaskFailed("input", f"unsafe file name: {name!r}")
    return folder.joinpath(*parts)
