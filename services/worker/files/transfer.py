"""Files between the store's links and this host."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar
from uuid import uuid4

import aiohttp
from yarl import URL

from libs.common.errors import Unavailable, from_problem
from libs.common.redaction import redacted, s3_said
from services.worker.failures import Failed
from services.worker.files import disk

CHUNK = 1 << 20
PARALLEL = 8
"""Files at once of one task."""
SILENCE_S = 60.0
"""How long a transfer may stand still."""
CONNECT_S = 5.0

T = TypeVar("T")
TIMEOUT = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=SILENCE_S)


async def download(session: aiohttp.ClientSession, url: str, target: Path, aside: Path) -> None:
    """Atomic: `target` is whole or not there. Until then it is in the folder `aside`, in which no file is another's.

    Raises Failed("input") when this host cannot have such a file.
    """
    part = aside / uuid4().hex
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        async with session.get(URL(url, encoded=True), timeout=TIMEOUT) as answer:
            await _checked(answer)
            with part.open("xb") as file:
                async for chunk in answer.content.iter_chunked(CHUNK):
                    await asyncio.to_thread(file.write, chunk)
        part.rename(target)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"{target.name} cannot be downloaded: {_said(error)}") from error
    except OSError as error:
        raise disk.lacking(error) or _unwritable(target, error) from error
    finally:
        part.unlink(missing_ok=True)


def _unwritable(target: Path, error: OSError) -> Failed:
    return Failed("input", f"this worker cannot write a file of the name {target.name}: {error.strerror}")


async def upload(session: aiohttp.ClientSession, source: Path, size: int, url: str) -> str:
    """The SHA-256 of what was sent, in hexadecimal digits. Raises OSError when `source` cannot be read."""
    digest = hashlib.sha256()
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    with source.open("rb") as file:
        try:
            body = _chunks(file, digest)
            async with session.put(URL(url, encoded=True), data=body, headers=headers, timeout=TIMEOUT) as answer:
                await _checked(answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"{source.name} cannot be uploaded: {_said(error)}") from error
    return digest.hexdigest()


async def _chunks(file: BinaryIO, digest: hashlib._Hash) -> AsyncIterator[bytes]:
    def piece() -> bytes:
        chunk = file.read(CHUNK)
        digest.update(chunk)
        return chunk

    while chunk := await asyncio.to_thread(piece):
        yield chunk


def _said(error: Exception) -> str:
    return redacted(str(error)) or type(error).__name__


async def _checked(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= 400:
        said = redacted(s3_said(await answer.text(errors="replace")))
        raise from_problem(answer.status, {"detail": said[:300]})


async def each(items: Iterable[T], step: Callable[[T], Awaitable[None]]) -> None:
    """`step` for every item, a few at once; the first error ends the others."""
    room = asyncio.Semaphore(PARALLEL)

    async def one(item: T) -> None:
        async with room:
            await step(item)

    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(one(item))
    except ExceptionGroup as errors:
        raise _first(errors) from errors


def _first(group: ExceptionGroup[Exception]) -> Exception:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def inside(folder: Path, name: str) -> Path:
    """The path of `name` in `folder`; a name that leads out of it is refused."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/"):
        raise Failed("input", f"{name!r} is no name of a file in a folder")
    return folder.joinpath(*parts)
