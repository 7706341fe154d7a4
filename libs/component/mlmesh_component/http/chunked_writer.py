"""Writes the body of a streamed response, whose length is not known, to a connection."""

from __future__ import annotations

import asyncio
from typing import Callable


class ChunkedWriter:
    """`chunked`: use the chunked transfer coding; without it (HTTP/1.0) closing the connection ends the body."""

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
