"""Bodies on their way into the store."""

from __future__ import annotations

from collections.abc import AsyncIterator

from libs.common.errors import Malformed


async def exactly(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """`body`; raises Malformed when it has not `size` bytes."""
    left = size
    async for chunk in body:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise Malformed(f"the body has not the {size} bytes that were announced; nothing was stored")


async def pieces(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in pieces of `size`, the last one smaller, perhaps empty."""
    waiting = bytearray()
    async for chunk in body:
        waiting += chunk
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    yield bytes(waiting)
