"""Reads request bodies up to a size limit, and large ones only so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import Request

from libs.common.errors import SlowBody, TooLarge, Unavailable

SMALL_BODY_BYTES = 64_000
"""A body up to this size is read without a place: nobody can keep small ones out with slow ones."""


async def read_body(request: Request, limit: int) -> bytes:
    """Raises TooLarge as soon as Content-Length or the bytes received exceed `limit`."""
    return b"".join([chunk async for chunk in _read_chunks(request, limit)])


async def _read_chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    content_length = request.headers.get("content-length", "0")
    if content_length.isascii() and content_length.isdigit() and int(content_length) > limit:
        raise TooLarge(f"the body has {content_length} bytes; at most {limit} are accepted")
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the body is larger than the {limit} bytes that are accepted")
        yield chunk


class BodyReader:
    """At most `places` large bodies are in memory; the next one waits `wait` seconds for a place."""

    def __init__(self, limit: int, places: int, wait: float, timeout: float) -> None:
        self._limit = limit
        self._places = asyncio.Semaphore(places)
        self._wait = wait
        self._timeout = timeout

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The body; its place is taken until the context ends. Raises TooLarge, SlowBody, Unavailable."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._timeout):
                    body = await self._read_whole(request, stack)
            except TimeoutError as error:
                raise SlowBody(f"the body did not come within {self._timeout:g} s; send it again") from error
            yield body

    async def _read_whole(self, request: Request, stack: AsyncExitStack) -> bytes:
        chunks: list[bytes] = []
        size, has_place = 0, False
        async for chunk in _read_chunks(request, self._limit):
            chunks.append(chunk)
            size += len(chunk)
            if size > SMALL_BODY_BYTES and not has_place:
                await self._take_place(stack)
                has_place = True
        return b"".join(chunks)

    async def _take_place(self, stack: AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(self._wait):
                await self._places.acquire()
        except TimeoutError as error:
            raise Unavailable("too many large bodies are being read; send it again", retry_after=self._wait) from error
        stack.callback(self._places.release)
