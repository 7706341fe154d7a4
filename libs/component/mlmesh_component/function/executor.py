"""The executor: runs up to `concurrency` calls at a time, with a bounded queue and a deadline for each call.

The slot of a call is free again when the function has returned, not when its caller has got a response.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections import deque
from typing import Callable, Protocol

from ..http.response_stream import ResponseStream
from ..problems import CallAborted, Problem, Stopping, TimedOut, TooManyCalls
from .context import Context
from .predictor import Result
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


class CallTracker:
    """The waiting and the running calls of a component, and their deadlines. Used on the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.waiting: deque[Invocation] = deque()
        self.running: set[Invocation] = set()
        self.next_deadline = NO_DEADLINE
        self.idle: asyncio.Future[None] | None = None
        """Awaited by `drain`."""
        self._deadline_timer: asyncio.TimerHandle | None = None

    def cancel(self, invocation: Invocation) -> None:
        """Remove a waiting call, or cancel a running one, because its caller has disconnected."""
        invocation.cancel()
        if invocation not in self.running and invocation in self.waiting:
            self.waiting.remove(invocation)

    async def drain(self, grace: float) -> None:
        """Wait until no call runs or waits; after `grace` seconds abort the remaining ones."""
        if self.running or self.waiting:
            self.idle = self._loop.create_future()
            await asyncio.wait([self.idle], timeout=grace)
        for invocation in self.waiting:
            invocation.set_result(Stopping())
        self.waiting.clear()
        for invocation in list(self.running):
            invocation.abort(CallAborted())

    def notify_if_idle(self) -> None:
        if self.idle is not None and not self.running and not self.waiting and not self.idle.done():
            self.idle.set_result(None)

    def is_overdue(self, seconds: float) -> bool:
        """Whether every running call is `seconds` past its deadline."""
        latest = self._loop.time() - seconds
        return all(invocation.deadline < latest for invocation in self.running)

    # -- deadlines: one timer for the earliest, since nearly all calls end long before theirs

    def arm_deadline(self, deadline: float) -> None:
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self.next_deadline = deadline
        self._deadline_timer = self._loop.call_at(deadline, self._on_deadline) if deadline < NO_DEADLINE else None

    def _on_deadline(self) -> None:
        now = self._loop.time()
        for invocation in [invocation for invocation in self.waiting if invocation.deadline <= now]:
            self.waiting.remove(invocation)
            invocation.set_result(TimedOut("The call waited in the queue until its deadline."))
        pending = [invocation for invocation in self.running if invocation.has_waiter]
        for invocation in pending:
            if invocation.deadline <= now:
                invocation.abort(TimedOut())
        pending = [invocation for invocation in self.running if invocation.has_waiter]
        self._deadline_timer = None
        self.arm_deadline(min((invocation.deadline for invocation in (*self.waiting, *pending)), default=NO_DEADLINE))


class Executor(Protocol):
    calls: CallTracker

    def submit(self, invocation: Invocation, inputs: Inputs) -> None:
        """Start or queue the call; raises `TooManyCalls` if the queue is full."""

    def is_hung(self, overdue_seconds: float) -> bool:
        """Whether every slot is held by a call that is `overdue_seconds` past its deadline."""


OnFinished = Callable[[Invocation, Result], None]


class SlotExecutor:
    """Gives each call a slot of its own. `start` runs a call and calls back when the function has returned."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, start: Callable[[Invocation, OnFinished], None], concurrency: int
    ) -> None:
        self.calls = CallTracker(loop)
        self._loop = loop
        self._start = start
        self._concurrency = concurrency
        self._limit = concurrency * MAX_QUEUED_PER_SLOT

    def submit(self, invocation: Invocation, inputs: Inputs) -> None:
        calls = self.calls
        invocation.inputs = inputs
        if invocation.deadline < calls.next_deadline:
            calls.arm_deadline(invocation.deadline)
        if len(calls.running) < self._concurrency:
            calls.running.add(invocation)
            self._start(invocation, self._finish)
        elif len(calls.waiting) < self._limit:
            invocation.queued_at = self._loop.time()
            calls.waiting.append(invocation)
        else:
            raise TooManyCalls()

    def is_hung(self, overdue_seconds: float) -> bool:
        return len(self.calls.running) >= self._concurrency and self.calls.is_overdue(overdue_seconds)

    def _finish(self, invocation: Invocation, result: Result) -> None:
        calls = self.calls
        calls.running.discard(invocation)
        if calls.waiting:
            following = calls.waiting.popleft()
            following.queue_seconds = self._loop.time() - following.queued_at
            calls.running.add(following)
            self._start(following, self._finish)
        elif calls.idle is not None:
            calls.notify_if_idle()
        invocation.set_result(result)


def get_inputs(invocation: Invocation) -> Inputs:
    if invocation.inputs is None:
        raise RuntimeError("the call has no inputs: it was not submitted")
    return invocation.inputs


def internal_error() -> Problem:
    sys.stderr.write("mlmesh: internal error of the component runtime\n" + traceback.format_exc())
    return Problem()
