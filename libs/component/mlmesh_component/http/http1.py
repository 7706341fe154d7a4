"""HTTP/1.1 request parser in pure Python (RFC 9112). Performs no I/O.

Pull-style: `feed` bytes, get complete requests from `next_request`; pipelined requests stay buffered as bytes. Refuses
everything ambiguous (obsolete folding, bare line feeds, two lengths, a length beside chunks).
"""

from __future__ import annotations

import re

from .framing import (
    Framing,
    Limits,
    ProtocolError,
    Request,
    body_too_large,
    determine_framing,
    fold_headers,
    head_too_large,
)

MAX_CHUNK_LINE_BYTES = 4096

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~\x80-\xff]+) HTTP/1\.([01])")
_FIELDS = re.compile(rb"(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_LINE_START = re.compile(_TOKEN + rb"(?: [!-~\x80-\xff]*(?: [HTP/0-9.]{0,8})?)?\r?")


class RequestHead:
    """A request without its body."""

    __slots__ = ("framing", "headers", "method", "minor", "target")

    def __init__(self, method: bytes, target: bytes, minor: int, headers: dict[bytes, bytes], limits: Limits) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.headers = headers
        self.framing = determine_framing(headers, minor, limits)


class Http1Parser:
    """Parses the requests of one connection."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = b""
        self._position = 0  # start of the unread bytes in the buffer
        self._searched = 0  # end of the part that has been searched for the end of the head
        self._head: RequestHead | None = None
        self._parts: list[bytes] = []
        self._body_size = 0  # bytes of body in `_parts`
        self._chunk_missing = -1  # missing bytes of this chunk; -1: a chunk's size line is next
        self._in_trailer = False  # the last chunk has been read, the trailer is next
        self._trailer_size = 0

    def feed(self, data: bytes) -> None:
        self._buffer = self._buffer[self._position :] + data if self._position < len(self._buffer) else data
        self._searched = max(0, self._searched - self._position)
        self._position = 0

    @property
    def unread_bytes(self) -> int:
        """Bytes that are buffered and not parsed yet."""
        return len(self._buffer) - self._position

    @property
    def is_idle(self) -> bool:
        """Whether no request has started."""
        return self._head is None and self.unread_bytes == 0

    @property
    def expects_continue(self) -> bool:
        """Whether the peer waits for `100 Continue` before it sends the body; true once per request."""
        head = self._head
        if head is None or not head.framing.expects_continue or self._body_size or self.unread_bytes:
            return False
        head.framing = Framing(head.framing.length, head.framing.keep_alive, False)
        return True

    def next_request(self) -> Request | None:
        """The next complete request; None if more bytes are needed."""
        if self._head is None:
            self._head = self._parse_head()
            if self._head is None:
                return None
        head = self._head
        length = head.framing.length
        body = self._read_chunks() if length is None else self._read_body(length)
        if body is None:
            return None
        self._head = None
        self._searched = self._position
        return Request(head.method, head.target, head.minor, head.headers, head.framing.keep_alive, body)

    def _parse_head(self) -> RequestHead | None:
        self._skip_empty_lines()
        buffer, start = self._buffer, self._position
        end = buffer.find(b"\r\n\r\n", max(start, self._searched))
        if (end if end >= 0 else len(buffer)) - start > self._limits.head:
            raise head_too_large(self._limits)
        if end < 0:
            self._searched = max(start, len(buffer) - 3)
            self._check_beginning()
            return None
        line, _, header_block = buffer[start : end + 2].partition(b"\r\n")
        match = _REQUEST_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(400, "This is not a request line of HTTP/1.1.")
        if _FIELDS.fullmatch(header_block) is None:
            raise ProtocolError(400, "A header line is malformed.")
        self._position = end + 4
        return RequestHead(
            match[1], match[2], match[3][0] - 48, fold_headers(_parse_fields(header_block)), self._limits
        )

    def _skip_empty_lines(self) -> None:
        while self._buffer.startswith(b"\r\n", self._position):
            self._position += 2

    def _check_beginning(self) -> None:
        """Raise early for bytes that cannot become a request line any more."""
        line, newline, _ = self._buffer[self._position :].partition(b"\n")
        if newline:
            if not line.endswith(b"\r") or _REQUEST_LINE.fullmatch(line[:-1]) is None:
                raise ProtocolError(400, "This is not a request line of HTTP/1.1.")
        elif line and line != b"\r" and _LINE_START.fullmatch(line) is None:
            raise ProtocolError(400, "This is not a request line of HTTP/1.1.")

    def _read_body(self, length: int) -> bytes | None:
        if not self._parts and len(self._buffer) - self._position >= length:
            body = self._buffer[self._position : self._position + length]
            self._position += length
            return body
        self._collect_part(length - self._body_size)
        return self._join_parts() if self._body_size == length else None

    def _collect_part(self, count: int) -> None:
        part = self._buffer[self._position : self._position + count]
        if part:
            self._parts.append(part)
            self._body_size += len(part)
            self._position += len(part)

    def _join_parts(self) -> bytes:
        body = b"".join(self._parts)
        self._parts, self._body_size = [], 0
        return body

    def _read_chunks(self) -> bytes | None:
        while not self._in_trailer:
            if not (self._read_chunk_size() if self._chunk_missing < 0 else self._read_chunk_data()):
                return None
        return self._read_trailer()

    def _read_chunk_size(self) -> bool:
        line = self._read_line()
        if line is None:
            return False
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(400, "A chunk's size is malformed.")
        size = int(match[1], 16)
        if self._body_size + size > self._limits.body:
            raise body_too_large(self._limits)
        self._in_trailer = size == 0
        self._chunk_missing = size
        return True

    def _read_chunk_data(self) -> bool:
        previous_size = self._body_size
        self._collect_part(self._chunk_missing)
        self._chunk_missing -= self._body_size - previous_size
        if self._chunk_missing or self.unread_bytes < 2:
            return False
        if not self._buffer.startswith(b"\r\n", self._position):
            raise ProtocolError(400, "A chunk is longer than its size.")
        self._position += 2
        self._chunk_missing = -1
        return True

    def _read_trailer(self) -> bytes | None:
        while True:
            line = self._read_line()
            if line is None:
                return None
            if line == b"":
                self._in_trailer, self._chunk_missing, self._trailer_size = False, -1, 0
                return self._join_parts()
            self._trailer_size += len(line)
            if self._trailer_size > self._limits.head:
                raise head_too_large(self._limits)

    def _read_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._position, self._position + MAX_CHUNK_LINE_BYTES)
        if end < 0:
            if self.unread_bytes >= MAX_CHUNK_LINE_BYTES:
                raise ProtocolError(400, "A chunk's line is too long.")
            return None
        line = self._buffer[self._position : end]
        if not line.endswith(b"\r"):
            raise ProtocolError(400, "A line does not end in CR LF.")
        self._position = end + 1
        return line[:-1]


def _parse_fields(block: bytes) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in block.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        fields.append((name.lower(), value.strip(b" \t")))
    return fields
