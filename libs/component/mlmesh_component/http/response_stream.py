"""An answer that comes in pieces: from a function that yields to a caller who may read slowly, or leave."""

from __future__ import annotations

import asyncio
import threading
from typing import Callable, Protocol

from .. import json_codec
from ..problems import Problem

MAX_PIECES_IN_FLIGHT = 16
"""Pieces of a thread that are on their way; it waits for the caller with more."""


class StreamSink(Protocol):
    """The caller's connection; it says `pause` and `resume` to the stream."""

    def write(self, data: bytes) -> None: ...

    def end(self) -> None: ...


class StreamFormat(Protocol):
    content_type: bytes

    def format_piece(self, document: bytes) -> bytes: ...

    def format_end(self, problem: Problem | None) -> bytes: ...


class EventStreamFormat:
    """Server-sent events: a message each, then the event `end`, or `error` with the problem."""

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
    """One document a line; the last one is a problem when it went wrong."""

    content_type = b"application/x-ndjson"

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def format_piece(self, document: bytes) -> bytes:
        return document + b"\n"

    def format_end(self, problem: Problem | None) -> bytes:
        return b"" if problem is None else json_codec.encode_with_escapes(problem.to_json(self._request_id)) + b"\n"


def select_format(accept: bytes, request_id: str) -> StreamFormat:
    """What the caller asked for; events without a word."""
    return JsonLinesFormat(request_id) if b"ndjson" in accept or b"jsonl" in accept else EventStreamFormat(request_id)


class ResponseStream:
    """Belongs to the loop's thread, but for `send`.

    `begin` is called before the first piece: it chooses the framing and attaches the sink.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, begin: Callable[[], None]) -> None:
        self._loop = loop
        self._on_first_piece = begin
        self._sink: StreamSink | None = None
        self.format: StreamFormat = JsonLinesFormat("")
        self._window = threading.Semaphore(MAX_PIECES_IN_FLIGHT)
        self._unacknowledged = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self.problem: Problem | None = None
        """What it ended with."""
        self.started = False
        self.ended = False

    # -- from the function

    def send_from_thread(self, piece: bytes) -> bool:
        """From a thread; waits while the caller does not read. False: nobody reads any more."""
        self._window.acquire()
        if self.ended:
            return False
        try:
            self._loop.call_soon_threadsafe(self._receive_piece, piece)
        except RuntimeError:
            return False  # the loop is gone, and its callers with it
        return True

    async def send_from_loop(self, piece: bytes) -> bool:
        """The same on the loop."""
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
        """Nothing more comes; `problem`: because it went wrong."""
        if self.ended:
            return
        self.problem = problem
        sink = self._sink
        self.close()
        if sink is not None:
            if last := self.format.format_end(problem):
                sink.write(last)
            sink.end()

    # -- from the caller's side

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
        """Nobody reads any more: whoever sends is told at the next piece."""
        self.ended, self._sink = True, None
        self._writable.set()
        for _ in range(MAX_PIECES_IN_FLIGHT):
            self._window.release()


class DiscardingSink:
    """A sink that takes a stream to its end; `ended` hears what it ended with."""

    def __init__(self, stream: ResponseStream, on_end: Callable[[Problem | None], None]) -> None:
        self._stream = stream
        self._on_end = on_end

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def end(self) -> None:
        self._on_end(self._stream.problem)
