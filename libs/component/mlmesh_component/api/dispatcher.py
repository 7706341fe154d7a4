"""Request dispatcher: parses a request, on the loop or in a thread, and submits it to the executor."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ..function.context import Context
from ..function.executor import Executor, Invocation
from ..function.predictor import Result
from ..function.schema import Inputs, Schema
from ..http.framing import Request
from ..http.reply import Cancel, Reply
from ..problems import Problem, Stopping, Unavailable
from ..settings import Settings
from ..thread_pool import ThreadPool, call_in_loop
from .auth import InstanceTokenAuth
from .codecs import Codec
from .tracing import create_tracing

LARGE_BODY_BYTES = 256 * 1024
"""A larger body is parsed in a thread, so that the loop keeps answering health checks and other calls."""

HUNG_AFTER_SECONDS = 10.0


class RequestDispatcher:
    """`executor` is None until the component is ready; `not_ready_reason` says what it waits for."""

    def __init__(
        self, settings: Settings, auth: InstanceTokenAuth, loop: asyncio.AbstractEventLoop, reader_threads: ThreadPool
    ) -> None:
        self._settings = settings
        self._auth = auth
        self._loop = loop
        self._reader_threads = reader_threads
        self.executor: Executor | None = None
        self.schema = Schema()
        self.not_ready_reason = "The function is being imported."
        self.stopping = False
        self.tracing = create_tracing(settings.component)

    @property
    def is_hung(self) -> bool:
        """Whether every slot is held by a call that hangs, so that no further call can start."""
        return self.executor is not None and self.executor.is_hung(max(HUNG_AFTER_SECONDS, self._settings.timeout))

    def require_executor(self) -> Executor:
        if self.executor is None:
            raise Unavailable(self.not_ready_reason)
        return self.executor

    def dispatch_request(self, request: Request, codec: Codec, reply: Reply) -> Cancel:
        """Start the call and return a function that cancels it; raises `Problem` if it is refused."""
        if self.stopping:
            raise Stopping()
        executor = self.require_executor()
        seconds = _parse_timeout(request.headers.get(b"x-request-timeout"), self._settings.timeout)
        context = self._build_context(request, codec.request_id, seconds)

        span = self._start_span(context)

        def send_result(result: Result) -> None:
            if span is not None and self.tracing is not None:
                self.tracing.end_span(span, result)
            reply(codec.build_response(result).add_timing(invocation.queue_seconds, invocation.batch_size))

        invocation = Invocation(context, self._loop.time() + seconds, send_result)
        if len(request.body) <= LARGE_BODY_BYTES:
            executor.submit(invocation, codec.parse_request(self.schema))
        else:
            self._reader_threads.submit(lambda: self._parse_in_thread(executor, invocation, codec))
        return lambda: executor.calls.cancel(invocation)

    def _start_span(self, context: Context) -> Any:
        if self.tracing is None:
            return None
        span, context.traceparent = self.tracing.start_span(self._settings.component, context.traceparent)
        return span

    def _build_context(self, request: Request, request_id: str, seconds: float) -> Context:
        headers = request.headers
        return Context(
            request_id,
            _decode_header(headers.get(b"x-mlmesh-user")),
            time.time() + seconds,
            self._settings.boxes,
            _decode_header(headers.get(b"x-mlmesh-grant")),
            _decode_header(headers.get(b"traceparent")),
            self._auth.is_owner_call(headers),
        )

    def _parse_in_thread(self, executor: Executor, invocation: Invocation, codec: Codec) -> None:
        try:
            inputs = codec.parse_request(self.schema)
        except Problem as problem:
            call_in_loop(self._loop, invocation.set_result, problem)
        else:
            call_in_loop(self._loop, _submit_invocation, executor, invocation, inputs)


def _submit_invocation(executor: Executor, invocation: Invocation, inputs: Inputs) -> None:
    if invocation.is_done:
        return
    try:
        executor.submit(invocation, inputs)
    except Problem as problem:
        invocation.set_result(problem)


def _parse_timeout(header: bytes | None, limit: float) -> float:
    """The timeout of this call in seconds: the caller's remaining time, at most the component's limit."""
    try:
        remaining = float(header) if header is not None else limit
    except ValueError:
        return limit
    return min(limit, max(0.0, remaining)) if remaining == remaining else limit


def _decode_header(value: bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if value else None
