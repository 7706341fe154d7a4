"""HTTP responses and their heads as bytes."""

from __future__ import annotations

import email.utils
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from .framing import Headers

if TYPE_CHECKING:
    from .response_stream import ResponseStream

NO_QUEUE_TIME = b"queue;dur=0.0"
JSON_TYPE = b"application/json"

LAST_CHUNK = b"0\r\n\r\n"

STATUS_LINES: dict[int, bytes] = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode("ascii")) for status in HTTPStatus
}


class Response:
    """`body` is complete, or empty if there is a `stream`."""

    __slots__ = ("body", "content_type", "headers", "status", "stream")

    def __init__(
        self, status: int, body: bytes, content_type: bytes, headers: Headers = (), stream: ResponseStream | None = None
    ) -> None:
        self.stream = stream
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers

    def add_timing(self, queue_seconds: float, batch_size: int) -> Response:
        """Add headers with the time in the queue, and with the size of the batch, if there was one."""
        timing_headers: Headers = (
            (b"server-timing", b"queue;dur=%.1f" % (queue_seconds * 1000) if queue_seconds else NO_QUEUE_TIME),
        )
        if batch_size:
            timing_headers = (*timing_headers, (b"x-mlmesh-batch", b"%d" % batch_size))
        self.headers = (*self.headers, *timing_headers)
        return self

    def build_head(self, date: bytes, connection: bytes) -> bytes:
        length = b"content-length: %d\r\n" % len(self.body) if self.stream is None else b""
        return b"%s%scontent-type: %s\r\n%s%s%s\r\n" % (
            STATUS_LINES[self.status],
            date,
            self.content_type,
            length,
            b"".join([b"%s: %s\r\n" % field for field in self.headers]),
            connection,
        )


def encode_chunk(data: bytes) -> bytes:
    """A part of a body in the chunked transfer coding; nothing for no data, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def id_header(request_id: str) -> Headers:
    return ((b"x-request-id", request_id.encode("ascii")),)


class DateHeader:
    """Caches the date header for a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def render_line(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._line = b"date: " + email.utils.formatdate(now, usegmt=True).encode("ascii") + b"\r\n"
        return self._line
