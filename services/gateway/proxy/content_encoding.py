"""Bodies that come packed (RFC 9110, 8.4.1), passed on as what is inside: nobody behind has to know of it."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

from starlette.types import Receive

from libs.common.errors import Malformed, UnknownEncoding
from services.gateway.proxy.request import Body, Gone, Request

ENCODING = b"content-encoding"
PIECE = 256 * 1024
"""Bytes that are unpacked at once, however few they were before."""
GZIP, ZLIB, RAW = 31, 15, -15
"""What the library calls window bits: they say what is around the packed bytes."""
KNOWN = {b"gzip": GZIP, b"x-gzip": GZIP, b"deflate": ZLIB}
NOT_PACKED = (b"", b"identity")


def unpacked(request: Request, receive: Receive, limit: int | None) -> Body:
    """The body of a request, of at most `limit` bytes when it is unpacked. Raises UnknownEncoding, TooLarge."""
    encoding = request.by_name.get(ENCODING)
    if encoding is None:
        return Body(request, receive, limit)
    encoding = encoding.strip().lower()
    if encoding not in KNOWN and encoding not in NOT_PACKED:
        raise UnknownEncoding()
    request.drop(ENCODING)
    if encoding in NOT_PACKED:
        return Body(request, receive, limit)
    return Packed(request, receive, limit, Unpacker(KNOWN[encoding]))


class Unpacker:
    """Bytes in, bytes out in pieces of bounded size."""

    def __init__(self, kind: int) -> None:
        self._kind = kind
        self._waiting = b""
        self._stream: Any = None
        """None before the first byte, and between two members of gzip."""

    def feed(self, data: bytes) -> None:
        self._waiting += data

    def take(self) -> bytes:
        """The next piece; empty when more has to be fed. Raises Malformed."""
        while self._begin():
            try:
                piece: bytes = self._stream.decompress(self._waiting, PIECE)
            except zlib.error as error:
                raise Malformed(f"the body cannot be unpacked: {error}") from error
            self._waiting = self._stream.unconsumed_tail
            if self._stream.eof:
                self._waiting, self._stream = self._stream.unused_data, None
                if self._kind != GZIP and self._waiting:
                    raise Malformed("the body goes on behind the end of what is packed")
            if piece or self._stream is not None:
                return piece
        return b""

    def end(self) -> None:
        """No more is fed. Raises Malformed when there should have been more."""
        if self._stream is not None or self._waiting:
            raise Malformed("the body ends before the end of what is packed")

    def _begin(self) -> bool:
        """Whether there is something to go on with."""
        if self._stream is None and self._waiting:
            if self._kind == ZLIB and len(self._waiting) < 2:
                return False
            self._stream = zlib.decompressobj(self._window())
        return self._stream is not None

    def _window(self) -> int:
        """Some clients send deflate as it is, without the two bytes that RFC 1950 puts before it."""
        first = int.from_bytes(self._waiting[:2], "big")
        framed = self._waiting[0] & 0x0F == 8 and first % 31 == 0
        return RAW if self._kind == ZLIB and not framed else self._kind


class Packed(Body):
    """Its bytes, its length and its limit are those of what is inside."""

    __slots__ = ("_ended", "_unpacker")

    def __init__(self, request: Request, receive: Receive, limit: int | None, unpacker: Unpacker) -> None:
        super().__init__(request, receive, limit)
        self.length, self.chunked = None, True
        self._unpacker = unpacker
        self._ended = False

    async def read(self) -> bytes:
        """Raises Malformed as well."""
        while not (piece := self._unpacker.take()):
            if self._ended:
                self._unpacker.end()
                self.finished = True
                break
            await self._feed()
        else:
            await asyncio.sleep(0)  # a few bytes may become many pieces: others have their turn in between
        return self.count(piece)

    async def _feed(self) -> None:
        message: Any = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone = True
            raise Gone
        self._unpacker.feed(message.get("body", b""))
        self._ended = not message.get("more_body", False)
