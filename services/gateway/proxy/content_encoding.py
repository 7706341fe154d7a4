"""Decompresses request bodies (Content-Encoding, RFC 9110, 8.4.1), so that upstreams need not."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

from starlette.types import Receive

from libs.common.errors import Malformed, UnknownEncoding
from services.gateway.proxy.body import Body, ClientDisconnected
from services.gateway.proxy.request import Request

CONTENT_ENCODING = b"content-encoding"
MAX_PIECE = 256 * 1024
"""Bytes decompressed in one step, whatever the ratio of compression."""
GZIP, ZLIB, RAW_DEFLATE = 31, 15, -15
"""zlib's window bits, which select the format."""
WINDOW_BITS = {b"gzip": GZIP, b"x-gzip": GZIP, b"deflate": ZLIB}
IDENTITY = (b"", b"identity")


def decode_body(request: Request, receive: Receive, limit: int | None) -> Body:
    """The body, of at most `limit` bytes after decompression. Raises UnknownEncoding, TooLarge."""
    encoding = request.by_name.get(CONTENT_ENCODING)
    if encoding is None:
        return Body(request, receive, limit)
    encoding = encoding.strip().lower()
    if encoding not in WINDOW_BITS and encoding not in IDENTITY:
        raise UnknownEncoding()
    request.remove_header(CONTENT_ENCODING)
    if encoding in IDENTITY:
        return Body(request, receive, limit)
    return DecodedBody(request, receive, limit, Decompressor(WINDOW_BITS[encoding]))


class Decompressor:
    """Compressed bytes in, decompressed bytes out in pieces of bounded size."""

    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._pending = b""
        self._stream: Any = None
        """None before the first byte, and between two gzip members."""

    def feed(self, data: bytes) -> None:
        self._pending += data

    def read_piece(self) -> bytes:
        """The next piece; empty when it needs more input. Raises Malformed."""
        while self._ensure_stream():
            try:
                piece: bytes = self._stream.decompress(self._pending, MAX_PIECE)
            except zlib.error as error:
                raise Malformed(f"cannot decompress the request body: {error}") from error
            self._pending = self._stream.unconsumed_tail
            if self._stream.eof:
                self._pending, self._stream = self._stream.unused_data, None
                if self._window_bits != GZIP and self._pending:
                    raise Malformed("the request body continues after the end of its compressed data")
            if piece or self._stream is not None:
                return piece
        return b""

    def finish(self) -> None:
        """The input has ended. Raises Malformed when it is incomplete."""
        if self._stream is not None or self._pending:
            raise Malformed("the request body ends before its compressed data is complete")

    def _ensure_stream(self) -> bool:
        """Whether there is a stream, and input for it."""
        if self._stream is None and self._pending:
            if self._window_bits == ZLIB and len(self._pending) < 2:
                return False
            self._stream = zlib.decompressobj(self._choose_window_bits())
        return self._stream is not None

    def _choose_window_bits(self) -> int:
        """Some clients send raw deflate, without the two header bytes of RFC 1950."""
        first = int.from_bytes(self._pending[:2], "big")
        framed = self._pending[0] & 0x0F == 8 and first % 31 == 0
        return RAW_DEFLATE if self._window_bits == ZLIB and not framed else self._window_bits


class DecodedBody(Body):
    """A body whose bytes, length and limit are those of the decompressed content."""

    __slots__ = ("_decompressor", "_input_ended")

    def __init__(self, request: Request, receive: Receive, limit: int | None, decompressor: Decompressor) -> None:
        super().__init__(request, receive, limit)
        self.length, self.chunked = None, True
        self._decompressor = decompressor
        self._input_ended = False

    async def read(self) -> bytes:
        """Raises Malformed as well."""
        while not (piece := self._decompressor.read_piece()):
            if self._input_ended:
                self._decompressor.finish()
                self.finished = True
                break
            await self._receive_input()
        else:
            await asyncio.sleep(0)  # a few bytes may expand to many pieces: let other tasks run in between
        return self.record_piece(piece)

    async def _receive_input(self) -> None:
        message: Any = await self._receive()
        if message["type"] == "http.disconnect":
            self.disconnected = True
            raise ClientDisconnected
        self._decompressor.feed(message.get("body", b""))
        self._input_ended = not message.get("more_body", False)
