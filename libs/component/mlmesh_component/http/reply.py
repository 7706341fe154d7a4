"""The exchange of a complete request that is answered with one `Response`, whose body may be streamed."""

from __future__ import annotations

from typing import Callable, Optional

from .connection import Connection
from .exchange import Exchange
from .framing import Request
from .response import LAST_CHUNK, Response, encode_chunk
from .response_stream import ResponseStream

MAX_JOINED_WRITE_BYTES = 64 * 1024
"""Up to this size, head and body are joined for one write."""

Reply = Callable[[Response], None]
Cancel = Callable[[], None]
Handle = Callable[[Request, Reply], Optional[Cancel]]
"""Calls `reply` now or later; returns a function to call if the caller disconnects before."""


class ReplyExchange(Exchange):
    """Also the sink of a streamed body, in chunks; in HTTP/1.0 the end of the connection ends it."""

    __slots__ = ("_cancel", "_connection", "_handle", "_keep_alive", "_request", "_stream")

    def __init__(self, request: Request, connection: Connection, handle: Handle) -> None:
        super().__init__(request.minor)
        self._request = request
        self._connection = connection
        self._handle = handle
        self._cancel: Cancel | None = None
        self._stream: ResponseStream | None = None
        self._keep_alive = request.keep_alive

    # -- called by the connection

    def start(self) -> None:
        cancel = self._handle(self._request, self.send_response)
        if self._connection.exchange is self:
            self._cancel = cancel

    def receive_eof(self) -> bool:
        return self._stream is None

    def pause_writing(self) -> None:
        if self._stream is not None:
            self._stream.pause()

    def resume_writing(self) -> None:
        if self._stream is not None:
            self._stream.resume()

    def disconnect(self) -> None:
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    # -- the response

    def send_response(self, response: Response) -> None:
        """Write the response, unless the caller has disconnected."""
        connection = self._connection
        if connection.exchange is not self:
            return
        self.response_started = True
        if connection.owner.closing:
            self._keep_alive = False
        if response.stream is not None:
            self._start_stream(response, response.stream)
            return
        head = response.build_head(connection.date_line(), self._connection_header())
        body = response.body if self._request.method != b"HEAD" else b""
        if len(body) <= MAX_JOINED_WRITE_BYTES:
            connection.write(head + body)
        else:
            connection.write(head)
            connection.write(body)
        self._finish()

    def _connection_header(self) -> bytes:
        if not self._keep_alive:
            return b"connection: close\r\n"
        return b"" if self.minor else b"connection: keep-alive\r\n"

    def _start_stream(self, response: Response, stream: ResponseStream) -> None:
        """Send the head; the exchange lasts until the stream ends."""
        connection, chunked = self._connection, self.minor > 0
        self._stream = stream
        self._keep_alive = self._keep_alive and chunked
        if not connection.is_writable:
            stream.pause()
        framing = b"transfer-encoding: chunked\r\n" if chunked else b""
        connection.write(response.build_head(connection.date_line(), framing + self._connection_header()))
        stream.attach_sink(self)

    def write(self, data: bytes) -> None:
        self._connection.write(encode_chunk(data) if self.minor else data)

    def end(self) -> None:
        if self.minor:
            self._connection.write(LAST_CHUNK)
        self._finish()

    def _finish(self) -> None:
        self._cancel = self._stream = None  # breaks reference cycles
        self._connection.finish_exchange(self._keep_alive)
