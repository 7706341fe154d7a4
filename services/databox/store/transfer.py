"""Iterators over upload bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator

from libs.common.errors import Malformed


async def check_size(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """`body`, unchanged. Raises Malformed unless it has exactly `size` bytes."""
    remaining = size
    async for chunk in body:
        remaining -= len(chunk)
        if remaining < 0:
            break
        yield chunk
    if remaining:
        raise Malformed(f"the body does not have the declared {size} bytes; nothing was stored")


async def split_pieces(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in pieces of `size`; the last one is smaller, and may be empty."""
    buffer = bytearray()
    async for chunk in body:
        buffer += chunk
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
    yield bytes(buffer)
