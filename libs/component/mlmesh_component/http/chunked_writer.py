"""The pieces of a response whose length nobody knows, on their way into a connection."""

from __future__ import annotations

import asyncio
from typing import Callable


class ChunkedWriter:
    """`chunked`: in HTTP/1.1's transfer coding; without it the end of the connection ends the response."""

    def __init__(self, transport: asyncio.Transport, chunked: bool, on_end: Callable[[], None]) -> None:
        self._transport = transport
        self._chunked = chunked
        self._on_end = on_end

    def write(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self) -> None:
        if self._chunked:
            self._transport.write(b"0\r\n\r\n")
        self._on_end()
