"""Executor for generator functions: each call produces a response stream."""

from __future__ import annotations

import asyncio
from contextlib import closing

from ..http.response_stream import ResponseStream
from ..problems import CallAborted, Problem
from ..thread_pool import call_in_loop
from .executor import Executor, Invocation, get_inputs, internal_error


class StreamingExecutor(Executor):
    """A slot is free again when the generator has ended or been closed."""

    def _start_in_thread(self, invocation: Invocation) -> None:
        invocation.stream = stream = ResponseStream(self._loop, lambda: invocation.set_result(stream))
        self._threads.submit(
            lambda: call_in_loop(
                self._loop, self._finish_stream, invocation, stream, self._send_pieces(invocation, stream)
            )
        )

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

    def _start_task(self, invocation: Invocation) -> None:
        invocation.stream = stream = ResponseStream(self._loop, lambda: invocation.set_result(stream))
        self._loop.create_task(self._send_pieces_in_loop(invocation, stream))

    async def _send_pieces_in_loop(self, invocation: Invocation, stream: ResponseStream) -> None:
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
                self._finish_stream(invocation, stream, problem)

    def _finish_stream(self, invocation: Invocation, stream: ResponseStream, problem: Problem | None) -> None:
        """End the stream; a problem before the first piece becomes an ordinary response."""
        result = problem if problem is not None and not stream.started else stream
        self._finish_invocation(invocation, result)
        stream.end(problem)
