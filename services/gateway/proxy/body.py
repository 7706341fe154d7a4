"""The body of a request: a stream whose first 64 KB are kept for a retry."""

from __future__ import annotations

from typing import Any

from starlette.types import Receive

from libs.common.errors import Malformed, TooLarge
from services.gateway.proxy.request import Request
from services.gateway.proxy.upstream_connection import Headers

REPLAY_BYTES = 64 * 1024
"""Bytes of a body that are kept for a retry."""


class ClientDisconnected(Exception):
    """The client closed its connection before the response was complete."""


class Body:
    """The bytes that the client sends. The first 64 KB are kept, so that a failed attempt can be retried elsewhere."""

    __slots__ = (
        "_first_bytes",
        "_is_prefetched",
        "_limit",
        "_receive",
        "bytes_read",
        "chunked",
        "disconnected",
        "finished",
        "length",
        "replay_buffer",
    )

    def __init__(self, request: Request, receive: Receive, limit: int | None) -> None:
        self._receive = receive
        self._limit = limit
        self.length = _parse_content_length(request)
        self.chunked = b"transfer-encoding" in request.by_name
        self.bytes_read = 0
        self.replay_buffer: bytes | None = b""
        """All bytes read so far; None when they are too many to keep."""
        self.finished = False
        self.disconnected = False
        self._is_prefetched = False
        self._first_bytes = b""
        """Bytes read by `prefetch`."""
        if limit is not None and (self.length or 0) > limit:
            raise TooLarge(f"the request body exceeds the limit of {limit} bytes", limit=limit)

    async def prefetch(self, *, until_full: bool = False) -> None:
        """Read the first piece, or as much as can be kept (`until_full`). Idempotent; raises as `read` does."""
        if not self._is_prefetched:
            self._is_prefetched = True
            self._first_bytes = await self.read()
        while until_full and not self.finished and self.replay_buffer is not None:
            self._first_bytes += await self.read()

    @property
    def is_small(self) -> bool:
        """Whether its declared length fits into the replay buffer."""
        return not self.chunked and (self.length or 0) <= REPLAY_BYTES

    @property
    def buffered(self) -> bytes:
        """The bytes to send first: all bytes read so far, or those of `prefetch` when there is no replay buffer."""
        return self.replay_buffer if self.replay_buffer is not None else self._first_bytes

    @property
    def is_replayable(self) -> bool:
        return self.replay_buffer is not None and not self.disconnected

    async def read(self) -> bytes:
        """The next piece. Raises TooLarge, SlowBody, ClientDisconnected."""
        message: Any = await self._receive()
        if message["type"] == "http.disconnect":
            self.disconnected = True
            raise ClientDisconnected
        piece: bytes = message.get("body", b"")
        self.finished = not message.get("more_body", False)
        return self.record_piece(piece)

    def record_piece(self, piece: bytes) -> bytes:
        """Count and buffer a piece, and return it. Raises TooLarge."""
        self.bytes_read += len(piece)
        if self._limit is not None and self.bytes_read > self._limit:
            raise TooLarge(f"the request body exceeds the limit of {self._limit} bytes", limit=self._limit)
        if self.replay_buffer is not None:
            self.replay_buffer = self.replay_buffer + piece if self.bytes_read <= REPLAY_BYTES else None
        return piece

    async def wait_for_disconnect(self) -> None:
        """Returns when the client has disconnected."""
        while not self.disconnected:
            message: Any = await self._receive()
            self.disconnected = message["type"] == "http.disconnect"

    def build_framing_headers(self) -> Headers:
        """Content-Length or Transfer-Encoding; to be called after `prefetch`."""
        if self.length is not None:
            return [(b"content-length", str(self.length).encode())]
        if self.finished:
            return [(b"content-length", str(self.bytes_read).encode())] if self.chunked or self.bytes_read else []
        return [(b"transfer-encoding", b"chunked")]


def _parse_content_length(request: Request) -> int | None:
    value = request.by_name.get(b"content-length")
    if value is None:
        return None
    if not value.isdigit():
        raise Malformed("Content-Length is not a number")
    return int(value)
