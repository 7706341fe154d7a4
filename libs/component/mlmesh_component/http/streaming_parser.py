"""Requests whose bodies are read while they come: the head first, then piece by piece. Never touches a socket."""

from __future__ import annotations

from .framing import Limits
from .http1 import Head, Parser

UNLIMITED = Limits(body=2**62)
"""The application decides how much it reads."""


class Reader(Parser):
    """The requests of one connection."""

    def head(self) -> Head | None:
        """The head of the next request, None when more bytes are needed; the same until its body has ended."""
        if self._head is None:
            self._head = self._take_head()
        return self._head

    def piece(self) -> tuple[bytes, bool]:
        """What has come of the body since the last piece, and whether that was its end."""
        head = self._head
        if head is None:
            return b"", True
        length = head.framing.length
        if length is None:
            whole = self._take_chunks()
            found = b"".join(self._parts) if whole is None else whole
            ended = whole is not None
        else:
            self._collect(length - self._size)
            found, ended = b"".join(self._parts), self._size == length
        self._parts = []
        if ended:
            self._head, self._size, self._searched = None, 0, self._at
        return found, ended

    @property
    def between(self) -> bool:
        """No request has begun that is not read to its end."""
        return self._head is None

    def rest(self) -> bytes:
        """Everything that is not read; nothing is left."""
        found, self._at = self._buffer[self._at :], len(self._buffer)
        return found
