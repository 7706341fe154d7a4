"""Bodies on their way into the store."""

from __future__ import annotations

from collections.abc import AsyncIterator

from libs.common.errors import Malformed


async def check_size(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """`body`; raises Malformed when it has not `size` bytes."""
    remaining = size
    async for chunk in body:
        remaining -= len(chunk)
        if remaining < 0:
            break
        yield chunk
    if remaining:
        raise Malformed(f"the body has not the {size} bytes that were announced; nothing was stored")


async def split_pieces(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in pieces of `size`, the last one smaller, perhaps empty."""
    buffer = bytearray()
    async for chunk in body:
        buffer += chunk
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
    yield bytes(buffer)
