"""An answer that comes in pieces: from a function that yields to a caller who may read slowly, or leave."""

from __future__ import annotations

import asyncio
import threading
from typing import Callable, Protocol

from .. import json_codec
from ..problems import Problem

WINDOW = 16
"""Pieces of a thread that are on their way; it waits for the caller with more."""


class Sink(Protocol):
    """The caller's connection; it says `pause` and `resume` to the stream."""

    def write(self, data: bytes) -> None: ...

    def end(self) -> None: ...


class Framing(Protocol):
    content_type: bytes

    def piece(self, document: bytes) -> bytes: ...

    def end(self, problem: Problem | None) -> bytes: ...


class EventStream:
    """Server-sent events: a message each, then the event `end`, or `error` with the problem."""

    content_type = b"text/event-stream"

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def piece(self, document: bytes) -> bytes:
        return b"data: %s\n\n" % document

    def end(self, problem: Problem | None) -> bytes:
        if problem is None:
            return b"event: end\ndata: {}\n\n"
        return b"event: error\ndata: %s\n\n" % json_codec.encode_own(problem.document(self._request_id))


class Lines:
    """One document a line; the last one is a problem when it went wrong."""

    content_type = b"application/x-ndjson"

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def piece(self, document: bytes) -> bytes:
        return document + b"\n"

    def end(self, problem: Problem | None) -> bytes:
        return b"" if problem is None else json_codec.encode_own(problem.document(self._request_id)) + b"\n"


def framing(accept: bytes, request_id: str) -> Framing:
    """What the caller asked for; events without a word."""
    return Lines(request_id) if b"ndjson" in accept or b"jsonl" in accept else EventStream(request_id)


class Stream:
    """Belongs to the loop's thread, but for `send`.

    `begin` is called before the first piece: it chooses the framing and attaches the sink.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, begin: Callable[[], None]) -> None:
        self._loop = loop
        self._begin = begin
        self._sink: Sink | None = None
        self.framing: Framing = Lines("")
        self._window = threading.Semaphore(WINDOW)
        self._owed = 0
        self._room = asyncio.Event()
        self._room.set()
        self.problem: Problem | None = None
        """What it ended with."""
        self.begun = False
        self.ended = False

    # -- from the function

    def send(self, piece: bytes) -> bool:
        """From a thread; waits while the caller does not read. False: nobody reads any more."""
        self._window.acquire()
        if self.ended:
            return False
        try:
            self._loop.call_soon_threadsafe(self._arrive, piece)
        except RuntimeError:
            return False  # the loop is gone, and its callers with it
        return True

    async def push(self, piece: bytes) -> bool:
        """The same on the loop."""
        await self._room.wait()
        self._write(piece)
        return not self.ended

    def _arrive(self, piece: bytes) -> None:
        self._write(piece)
        if self._room.is_set():
            self._window.release()
        else:
            self._owed += 1

    def _write(self, piece: bytes) -> None:
        if self.ended:
            return
        if not self.begun:
            self.begun = True
            self._begin()
        if self._sink is not None:
            self._sink.write(self.framing.piece(piece))

    def end(self, problem: Problem | None = None) -> None:
        """Nothing more comes; `problem`: because it went wrong."""
        if self.ended:
            return
        self.problem = problem
        sink = self._sink
        self.close()
        if sink is not None:
            if last := self.framing.end(problem):
                sink.write(last)
            sink.end()

    # -- from the caller's side

    def attach(self, sink: Sink) -> None:
        self._sink = sink

    def pause(self) -> None:
        self._room.clear()

    def resume(self) -> None:
        self._room.set()
        for _ in range(self._owed):
            self._window.release()
        self._owed = 0

    def close(self) -> None:
        """Nobody reads any more: whoever sends is told at the next piece."""
        self.ended, self._sink = True, None
        self._room.set()
        for _ in range(WINDOW):
            self._window.release()


class Drain:
    """A sink that takes a stream to its end; `ended` hears what it ended with."""

    def __init__(self, stream: Stream, ended: Callable[[Problem | None], None]) -> None:
        self._stream = stream
        self._ended = ended

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def end(self) -> None:
        self._ended(self._stream.problem)
