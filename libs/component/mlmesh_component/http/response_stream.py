"""A streamed response: from a generator function to a caller, with back-pressure and cancellation."""

from __future__ import annotations

import asyncio
import threading
from typing import Callable, Protocol

from .. import json_codec
from ..problems import Problem

MAX_PIECES_IN_FLIGHT = 16
"""A thread waits when this many of its pieces have not been written yet."""


class StreamSink(Protocol):
    """The caller's connection, which calls `pause` and `resume` of the stream."""

    def write(self, data: bytes) -> None: ...

    def end(self) -> None: ...


class StreamFormat(Protocol):
    content_type: bytes

    def format_piece(self, document: bytes) -> bytes: ...

    def format_end(self, problem: Problem | None) -> bytes: ...


class EventStreamFormat:
    """Server-sent events: a message for each piece, then the event `end`, or `error` with the problem."""

    content_type = b"text/event-stream"

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def format_piece(self, document: bytes) -> bytes:
        return b"data: %s\n\n" % document

    def format_end(self, problem: Problem | None) -> bytes:
        if problem is None:
            return b"event: end\ndata: {}\n\n"
        return b"event: error\ndata: %s\n\n" % json_codec.encode_with_escapes(problem.to_json(self._request_id))


class JsonLinesFormat:
    """JSON lines: a document for each piece; after an error the last one is the problem."""

    content_type = b"application/x-ndjson"

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def format_piece(self, document: bytes) -> bytes:
        return document + b"\n"

    def format_end(self, problem: Problem | None) -> bytes:
        return b"" if problem is None else json_codec.encode_with_escapes(problem.to_json(self._request_id)) + b"\n"


def select_format(accept: bytes, request_id: str) -> StreamFormat:
    """The format that the `accept` header asks for; events by default."""
    return JsonLinesFormat(request_id) if b"ndjson" in accept or b"jsonl" in accept else EventStreamFormat(request_id)


class ResponseStream:
    """Used on the loop's thread, except for `send_from_thread`.

    `_on_first_piece` is called before the first piece: it sends the head, sets the format and attaches the sink.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_first_piece: Callable[[], None]) -> None:
        self._loop = loop
        self._on_first_piece = on_first_piece
        self._sink: StreamSink | None = None
        self.format: StreamFormat = JsonLinesFormat("")
        self._window = threading.Semaphore(MAX_PIECES_IN_FLIGHT)
        self._unacknowledged = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self.problem: Problem | None = None
        """The error that ended the stream."""
        self.started = False
        self.ended = False

    # -- side of the function

    def send_from_thread(self, piece: bytes) -> bool:
        """Send a piece from a thread, and wait while the caller does not read. False: the stream has ended."""
        self._window.acquire()
        if self.ended:
            return False
        try:
            self._loop.call_soon_threadsafe(self._receive_piece, piece)
        except RuntimeError:
            return False  # the loop is closed
        return True

    async def send_from_loop(self, piece: bytes) -> bool:
        """The same on the event loop."""
        await self._writable.wait()
        self._write_piece(piece)
        return not self.ended

    def _receive_piece(self, piece: bytes) -> None:
        self._write_piece(piece)
        if self._writable.is_set():
            self._window.release()
        else:
            self._unacknowledged += 1

    def _write_piece(self, piece: bytes) -> None:
        if self.ended:
            return
        if not self.started:
            self.started = True
            self._on_first_piece()
        if self._sink is not None:
            self._sink.write(self.format.format_piece(piece))

    def end(self, problem: Problem | None = None) -> None:
        """End the stream, with a `problem` after an error."""
        if self.ended:
            return
        self.problem = problem
        sink = self._sink
        self.close()
        if sink is not None:
            if last := self.format.format_end(problem):
                sink.write(last)
            sink.end()

    # -- side of the caller

    def attach_sink(self, sink: StreamSink) -> None:
        self._sink = sink

    def pause(self) -> None:
        self._writable.clear()

    def resume(self) -> None:
        self._writable.set()
        for _ in range(self._unacknowledged):
            self._window.release()
        self._unacknowledged = 0

    def close(self) -> None:
        """Stop the stream without an end message; the sender learns it with its next piece."""
        self.ended, self._sink = True, None
        self._writable.set()
        for _ in range(MAX_PIECES_IN_FLIGHT):
            self._window.release()


class DiscardingSink:
    """Consumes a stream and drops its pieces; calls `on_end` with the problem or None."""

    def __init__(self, stream: ResponseStream, on_end: Callable[[Problem | None], None]) -> None:
        self._stream = stream
        self._on_end = on_end

    def write(self, data: bytes) -> None:
        """Drop the piece."""

    def end(self) -> None:
        self._on_end(self._stream.problem)
