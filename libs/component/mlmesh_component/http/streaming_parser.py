"""Requests whose bodies are read while they come: the head first, then piece by piece. Never touches a socket."""

from __future__ import annotations

from .framing import Limits
from .http1 import Http1Parser, RequestHead

UNLIMITED = Limits(body=2**62)
"""The application decides how much it reads."""


class StreamingParser(Http1Parser):
    """The requests of one connection."""

    def next_head(self) -> RequestHead | None:
        """The head of the next request, None when more bytes are needed; the same until its body has ended."""
        if self._head is None:
            self._head = self._parse_head()
        return self._head

    def next_body_part(self) -> tuple[bytes, bool]:
        """What has come of the body since the last piece, and whether that was its end."""
        head = self._head
        if head is None:
            return b"", True
        length = head.framing.length
        if length is None:
            body = self._read_chunks()
            part = b"".join(self._parts) if body is None else body
            is_last = body is not None
        else:
            self._collect_part(length - self._body_size)
            part, is_last = b"".join(self._parts), self._body_size == length
        self._parts = []
        if is_last:
            self._head, self._body_size, self._searched = None, 0, self._position
        return part, is_last

    @property
    def is_between_requests(self) -> bool:
        """No request has begun that is not read to its end."""
        return self._head is None

    def take_unread(self) -> bytes:
        """Everything that is not read; nothing is left."""
        unread, self._position = self._buffer[self._position :], len(self._buffer)
        return unread
