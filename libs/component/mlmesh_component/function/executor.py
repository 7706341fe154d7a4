"""The executor: runs up to `concurrency` calls at a time, with a bounded queue and a deadline for each call.

The slot of a call is free again when the function has returned, not when its caller has got a response.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections import deque
from typing import Callable

from ..http.response_stream import ResponseStream
from ..problems import CallAborted, Problem, Stopping, TimedOut, TooManyCalls
from ..thread_pool import ThreadPool, call_in_loop
from .context import Context
from .predictor import Predictor, Result
from .schema import Inputs

MAX_QUEUED_PER_SLOT = 12
"""The gateway sends up to ten waiting calls for each slot, and a tenth more in reserve for further callers."""
NO_DEADLINE = float("inf")


def _ignore_result(result: Result) -> None:
    """Replaces the callback of a call that has its result."""


class Invocation:
    """One call of the function; `on_result` is called once, on the loop, unless the call is cancelled before."""

    __slots__ = (
        "_on_result",
        "batch_size",
        "context",
        "deadline",
        "inputs",
        "is_done",
        "queue_seconds",
        "queued_at",
        "stream",
        "task",
    )

    def __init__(self, context: Context, deadline: float, on_result: Callable[[Result], None]) -> None:
        self.context = context
        self.deadline = deadline
        self.inputs: Inputs | None = None
        self.is_done = False
        self.task: asyncio.Task[None] | None = None
        self.stream: ResponseStream | None = None
        self.queued_at = 0.0
        """Start of its time in the queue, on the loop's clock; 0 if it did not wait."""
        self.queue_seconds = 0.0
        """Time in the queue."""
        self.batch_size = 0
        """Calls in its batch; 0 without batching."""
        self._on_result = on_result

    def set_result(self, result: Result) -> None:
        if not self.is_done:
            self.is_done = True
            on_result, self._on_result = (
                self._on_result,
                _ignore_result,
            )  # break the reference cycle
            on_result(result)

    @property
    def has_waiter(self) -> bool:
        """Whether the caller still waits for the result, or for more of the stream."""
        return not self.is_done or (self.stream is not None and not self.stream.ended)

    def abort(self, problem: Problem) -> None:
        """End the call with this problem, also a stream that has started."""
        self.set_result(problem)
        if self.stream is not None:
            self.stream.end(problem)
        self.cancel()

    def cancel(self) -> None:
        """Cancel the call: nothing waits for its result any more."""
        self.is_done = True
        self._on_result = _ignore_result
        self.context.cancel()
        if self.stream is not None:
            self.stream.close()
        if self.task is not None:
            self.task.cancel()


class Executor:
    """All calls of one component. Used on the loop's thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, predictor: Predictor, threads: ThreadPool, concurrency: int
    ) -> None:
        self._loop = loop
        self._predictor = predictor
        self._threads = threads
        self._start_run = self._start_task if predictor.function.is_async else self._start_in_thread
        self._concurrency = concurrency
        self._limit = concurrency * MAX_QUEUED_PER_SLOT
        self._waiting: deque[Invocation] = deque()
        self._running: set[Invocation] = set()
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._next_deadline = NO_DEADLINE
        self._idle: asyncio.Future[None] | None = None

    def submit(self, invocation: Invocation, inputs: Inputs) -> None:
        """Start or queue the call; raises `TooManyCalls` if the queue is full."""
        invocation.inputs = inputs
        if invocation.deadline < self._next_deadline:
            self._arm_deadline(invocation.deadline)
        if len(self._running) < self._concurrency:
            self._start_invocation(invocation)
        elif len(self._waiting) < self._limit:
            invocation.queued_at = self._loop.time()
            self._waiting.append(invocation)
        else:
            raise TooManyCalls()

    def cancel(self, invocation: Invocation) -> None:
        """Remove a queued call, or cancel a running one, because its caller has disconnected."""
        invocation.cancel()
        if invocation not in self._running and invocation in self._waiting:
            self._waiting.remove(invocation)

    async def drain(self, grace: float) -> None:
        """Wait until no call runs or waits; after `grace` seconds abort the remaining ones."""
        if self._running or self._waiting:
            self._idle = self._loop.create_future()
            await asyncio.wait([self._idle], timeout=grace)
        for invocation in self._waiting:
            invocation.set_result(Stopping())
        self._waiting.clear()
        for invocation in list(self._running):
            invocation.abort(CallAborted())

    def is_hung(self, overdue_seconds: float) -> bool:
        """Whether every slot is held by a call that is `overdue_seconds` past its deadline."""
        latest = self._loop.time() - overdue_seconds
        return len(self._running) >= self._concurrency and all(
            invocation.deadline < latest for invocation in self._running
        )

    @property
    def running_count(self) -> int:
        return len(self._running)

    def _start_invocation(self, invocation: Invocation) -> None:
        self._running.add(invocation)
        if invocation.queued_at:
            invocation.queue_seconds = self._loop.time() - invocation.queued_at
        self._start_run(invocation)

    def _start_in_thread(self, invocation: Invocation) -> None:
        self._threads.submit(
            lambda: call_in_loop(self._loop, self._finish_invocation, invocation, self._run_invocation(invocation))
        )

    def _run_invocation(self, invocation: Invocation) -> Result:
        try:
            if invocation.is_done:
                return CallAborted()
            return self._predictor.predict(get_inputs(invocation), invocation.context)
        except Problem as problem:
            return problem
        except BaseException:  # noqa: BLE001 - a bug of the runtime: log it, respond with 500, free the slot
            return internal_error()

    def _start_task(self, invocation: Invocation) -> None:
        # the task registers itself in its first step: one that is cancelled before that would never free the slot
        # (until then the loop holds the reference)
        self._loop.create_task(self._run_in_loop(invocation))

    async def _run_in_loop(self, invocation: Invocation) -> None:
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
            self._finish_invocation(invocation, result)

    def _finish_invocation(self, invocation: Invocation, result: Result) -> None:
        self._running.discard(invocation)
        if self._waiting:
            self._start_invocation(self._waiting.popleft())
        elif self._idle is not None and not self._running and not self._idle.done():
            self._idle.set_result(None)
        invocation.set_result(result)

    # -- deadlines: one timer for the earliest, since nearly all calls end long before theirs

    def _arm_deadline(self, deadline: float) -> None:
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._next_deadline = deadline
        self._deadline_timer = self._loop.call_at(deadline, self._on_deadline) if deadline < NO_DEADLINE else None

    def _on_deadline(self) -> None:
        now = self._loop.time()
        for invocation in [invocation for invocation in self._waiting if invocation.deadline <= now]:
            self._waiting.remove(invocation)
            invocation.set_result(TimedOut("The call waited in the queue until its deadline."))
        for invocation in [
            invocation for invocation in self._running if invocation.deadline <= now and invocation.has_waiter
        ]:
            invocation.abort(TimedOut())
        deadlines = [invocation.deadline for invocation in self._waiting] + [
            invocation.deadline for invocation in self._running if invocation.has_waiter
        ]
        self._deadline_timer = None
        self._arm_deadline(min(deadlines, default=NO_DEADLINE))


def get_inputs(invocation: Invocation) -> Inputs:
    if invocation.inputs is None:
        raise RuntimeError("the call has no inputs: it was not submitted")
    return invocation.inputs


def internal_error() -> Problem:
    sys.stderr.write("mlmesh: internal error of the component runtime\n" + traceback.format_exc())
    return Problem()
