"""Requests to calls of the function: read, here or aside, and admitted."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable

from ..function.context import Context
from ..function.executor import Call, Calls
from ..function.predictor import Result
from ..function.schema import Inputs, Schema
from ..http.framing import Request
from ..http.response import Response
from ..problems import Problem, Stopping, Unavailable
from ..settings import Settings
from ..thread_pool import Threads, back
from .auth import Door
from .codecs import Form
from .tracing import tracing

LARGE_BODY_BYTES = 256 * 1024
"""A body larger than this is read in a thread, so that health and other calls are answered meanwhile."""

STUCK_SECONDS = 10.0

Reply = Callable[[Response], None]
Cancel = Callable[[], None]


class Asking:
    """`calls` is None until the component is ready; `reason` says what it waits for."""

    def __init__(self, settings: Settings, door: Door, loop: asyncio.AbstractEventLoop, readers: Threads) -> None:
        self._settings = settings
        self._door = door
        self._loop = loop
        self._readers = readers
        self.calls: Calls | None = None
        self.schema = Schema()
        self.reason = "The function is being imported."
        self.stopping = False
        self.tracing = tracing(settings.component)

    @property
    def stuck(self) -> bool:
        """No call can be answered any more: the function hangs, as often as it may run."""
        return self.calls is not None and self.calls.stuck(max(STUCK_SECONDS, self._settings.timeout))

    def check_open(self) -> Calls:
        if self.calls is None:
            raise Unavailable(self.reason)
        return self.calls

    def begin(self, request: Request, form: Form, reply: Reply) -> Cancel:
        """Raises `Problem` for what is not even admitted."""
        if self.stopping:
            raise Stopping()
        calls = self.check_open()
        seconds = _timeout(request.headers.get(b"x-request-timeout"), self._settings.timeout)
        context = self._context(request, form.request_id, seconds)

        span = self._span(context)

        def answer(result: Result) -> None:
            if span is not None and self.tracing is not None:
                self.tracing.end(span, result)
            reply(form.answer(result).measured(call.waited, call.together))

        call = Call(context, self._loop.time() + seconds, answer)
        if len(request.body) <= LARGE_BODY_BYTES:
            calls.admit(call, form.read(self.schema))
        else:
            self._readers.submit(lambda: self._read_aside(calls, call, form))
        return lambda: calls.abandon(call)

    def _span(self, context: Context) -> Any:
        if self.tracing is None:
            return None
        span, context.traceparent = self.tracing.begin(self._settings.component, context.traceparent)
        return span

    def _context(self, request: Request, request_id: str, seconds: float) -> Context:
        headers = request.headers
        return Context(
            request_id,
            _text(headers.get(b"x-mlmesh-user")),
            time.time() + seconds,
            self._settings.boxes,
            _text(headers.get(b"x-mlmesh-grant")),
            _text(headers.get(b"traceparent")),
            self._door.is_owners(headers),
        )

    def _read_aside(self, calls: Calls, call: Call, form: Form) -> None:
        try:
            inputs = form.read(self.schema)
        except Problem as problem:
            back(self._loop, call.answer, problem)
        else:
            back(self._loop, _admit, calls, call, inputs)


def _admit(calls: Calls, call: Call, inputs: Inputs) -> None:
    if call.over:
        return
    try:
        calls.admit(call, inputs)
    except Problem as problem:
        call.answer(problem)


def _timeout(given: bytes | None, own: float) -> float:
    """Seconds of this call: the component's own, or what is left of the caller's when that is less."""
    try:
        left = float(given) if given is not None else own
    except ValueError:
        return own
    return min(own, max(0.0, left)) if left == left else own


def _text(value: bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if value else None
