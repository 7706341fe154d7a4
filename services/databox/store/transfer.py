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


async def one(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk


class Held:
    """Gives each chunk of `body` only when the next one is there, the last one when `body` has ended well.

    So a server that was told the size never sees a whole file of a body that failed. `error` is what it failed with:
    an HTTP client hides it behind an error of its own.
    """

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        held = b""
        try:
            async for chunk in self._body:
                if held:
                    yield held
                held = chunk
        except Exception as error:
            self.error = error
            raise
        if held:
            yield held
