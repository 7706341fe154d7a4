"""HTTP/1.1 request parser with streamed bodies: first the head, then the body in parts. Performs no I/O."""

from __future__ import annotations

from .framing import Limits, Request
from .http1 import Http1Parser

UNLIMITED = Limits(body=2**62)
"""The application limits how much it reads."""


class StreamingParser(Http1Parser):
    """Parses the requests of one connection."""

    def next_request(self) -> Request | None:
        """The next request without its body, which has to be read first; None if more bytes are needed."""
        self._head = head = self._parse_head()
        if head is None:
            return None
        return Request(head.method, head.target, head.minor, head.headers, head.framing.keep_alive, b"")

    def next_body_part(self) -> tuple[bytes, bool]:
        """What has been received of the body since the last part, and whether the body has ended."""
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
        """Whether every started request has been read completely."""
        return self._head is None

    def take_unread(self) -> bytes:
        """Remove and return all bytes that are not parsed."""
        unread, self._position = self._buffer[self._position :], len(self._buffer)
        return unread
