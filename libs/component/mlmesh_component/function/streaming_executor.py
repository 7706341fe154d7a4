"""Calls whose answers come in pieces, because the function yields them."""

from __future__ import annotations

import asyncio
from contextlib import closing

from ..http.response_stream import Stream
from ..problems import CutShort, Problem
from ..thread_pool import back
from .executor import Call, Calls, call_inputs, own_fault


class Streams(Calls):
    """A slot is free again when the function has yielded its last, or was told that nobody reads any more."""

    def _begin_in_thread(self, call: Call) -> None:
        call.stream = stream = Stream(self._loop, lambda: call.answer(stream))
        self._threads.submit(lambda: back(self._loop, self._stream_ended, call, stream, self._send(call, stream)))

    def _send(self, call: Call, stream: Stream) -> Problem | None:
        try:
            with closing(self._predictor.pieces(call_inputs(call), call.context)) as pieces:
                for piece in pieces:
                    if call.context.cancelled or not stream.send(piece):
                        break
        except Problem as problem:
            return problem
        except BaseException:  # noqa: BLE001 - not the function's own, so ours: answered and logged, the slot is freed
            return own_fault()
        return None

    def _begin_task(self, call: Call) -> None:
        call.stream = stream = Stream(self._loop, lambda: call.answer(stream))
        self._loop.create_task(self._push(call, stream))

    async def _push(self, call: Call, stream: Stream) -> None:
        problem: Problem | None = CutShort()
        call.task = asyncio.current_task()
        pieces = self._predictor.pieces_async(call_inputs(call), call.context)
        try:
            if not call.over:
                async for piece in pieces:
                    if not await stream.push(piece):
                        break
                problem = None
        except Problem as error:
            problem = error
        except Exception:  # noqa: BLE001 - not the function's own, so ours: answered and logged, the slot is freed
            problem = own_fault()
        finally:
            try:
                await pieces.aclose()
            finally:
                self._stream_ended(call, stream, problem)

    def _stream_ended(self, call: Call, stream: Stream, problem: Problem | None) -> None:
        """What nothing has come of yet is answered like any other call."""
        result = problem if problem is not None and not stream.begun else stream
        self._ended(call, result)
        stream.end(problem)
