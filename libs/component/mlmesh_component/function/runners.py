"""Runners: call the function for one call, in a thread or on the loop, and report the end to the executor."""

from __future__ import annotations

import asyncio
from contextlib import closing

from ..http.response_stream import ResponseStream
from ..problems import CallAborted, Problem
from ..thread_pool import ThreadPool, call_in_loop
from .executor import Invocation, OnFinished, get_inputs, internal_error
from .predictor import Predictor, Result


class CallRunner:
    """Runs functions that return their result."""

    def __init__(self, loop: asyncio.AbstractEventLoop, predictor: Predictor, threads: ThreadPool) -> None:
        self._loop = loop
        self._predictor = predictor
        self._threads = threads
        self.start = self._start_task if predictor.function.is_async else self._start_in_thread

    def _start_in_thread(self, invocation: Invocation, on_finished: OnFinished) -> None:
        self._threads.submit(lambda: call_in_loop(self._loop, on_finished, invocation, self._run_in_thread(invocation)))

    def _run_in_thread(self, invocation: Invocation) -> Result:
        try:
            if invocation.is_done:
                return CallAborted()
            return self._predictor.predict(get_inputs(invocation), invocation.context)
        except Problem as problem:
            return problem
        except BaseException:  # noqa: BLE001 - a bug of the runtime: log it, respond with 500, free the slot
            return internal_error()

    def _start_task(self, invocation: Invocation, on_finished: OnFinished) -> None:
        # the task registers itself in its first step: one that is cancelled before that would never free the slot
        # (until then the loop holds the reference)
        self._loop.create_task(self._run_in_loop(invocation, on_finished))

    async def _run_in_loop(self, invocation: Invocation, on_finished: OnFinished) -> None:
        result: Result = CallAborted()
        invocation.task = asyncio.current_task()
        try:
            if invocation.is_done:
                return
            result = await self._predictor.predict_async(get_inputs(invocation), invocation.context)
        except Problem as problem:
            result = problem
        except Exception:  # noqa: BLE001 - a bug of the runtime: log it, respond with 500, free the slot
            result = internal_error()
        finally:
            on_finished(invocation, result)


class StreamRunner:
    """Runs generator functions; a slot is free again when the generator has ended or been closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, predictor: Predictor, threads: ThreadPool) -> None:
        self._loop = loop
        self._predictor = predictor
        self._threads = threads
        self._send = self._start_task if predictor.function.is_async else self._start_in_thread

    def start(self, invocation: Invocation, on_finished: OnFinished) -> None:
        invocation.stream = stream = ResponseStream(self._loop, lambda: invocation.set_result(stream))
        self._send(invocation, stream, on_finished)

    def _start_in_thread(self, invocation: Invocation, stream: ResponseStream, on_finished: OnFinished) -> None:
        def run() -> None:
            problem = self._send_pieces(invocation, stream)
            call_in_loop(self._loop, _finish_stream, invocation, stream, problem, on_finished)

        self._threads.submit(run)

    def _send_pieces(self, invocation: Invocation, stream: ResponseStream) -> Problem | None:
        try:
            with closing(self._predictor.stream(get_inputs(invocation), invocation.context)) as pieces:
                for piece in pieces:
                    if invocation.context.cancelled or not stream.send_from_thread(piece):
                        break
        except Problem as problem:
            return problem
        except BaseException:  # noqa: BLE001 - a bug of the runtime: log it, respond with 500, free the slot
            return internal_error()
        return None

    def _start_task(self, invocation: Invocation, stream: ResponseStream, on_finished: OnFinished) -> None:
        self._loop.create_task(self._send_pieces_in_loop(invocation, stream, on_finished))

    async def _send_pieces_in_loop(
        self, invocation: Invocation, stream: ResponseStream, on_finished: OnFinished
    ) -> None:
        problem: Problem | None = CallAborted()
        invocation.task = asyncio.current_task()
        pieces = self._predictor.stream_async(get_inputs(invocation), invocation.context)
        try:
            if not invocation.is_done:
                async for piece in pieces:
                    if not await stream.send_from_loop(piece):
                        break
                problem = None
        except Problem as error:
            problem = error
        except Exception:  # noqa: BLE001 - a bug of the runtime: log it, respond with 500, free the slot
            problem = internal_error()
        finally:
            try:
                await pieces.aclose()
            finally:
                _finish_stream(invocation, stream, problem, on_finished)


def _finish_stream(
    invocation: Invocation, stream: ResponseStream, problem: Problem | None, on_finished: OnFinished
) -> None:
    """End the stream; a problem before the first piece becomes an ordinary response."""
    result = problem if problem is not None and not stream.started else stream
    on_finished(invocation, result)
    stream.end(problem)
