"""Who is called when: as many calls at once as `concurrency`, a bounded queue behind them, a deadline for each.

The slot of a call is free again when the function has really returned, not when its caller has been answered.
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
"""A gateway lets ten wait, and a tenth more that are not of the caller who has all the others."""
NO_DEADLINE = float("inf")


def _ignore_result(result: Result) -> None:
    """Has been answered."""


class Invocation:
    """One call; `answer` is called once, on the loop, unless the caller has gone."""

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
        """When it began to wait, on the loop's clock; 0 when it did not have to."""
        self.queue_seconds = 0.0
        """Seconds until it was started."""
        self.batch_size = 0
        """How many calls its batch had; 0 without batching."""
        self._on_result = on_result

    def set_result(self, result: Result) -> None:
        if not self.is_done:
            self.is_done = True
            on_result, self._on_result = (
                self._on_result,
                _ignore_result,
            )  # it may know this call: no circle is left behind
            on_result(result)

    @property
    def has_waiter(self) -> bool:
        """Somebody waits for the answer or for more of it."""
        return not self.is_done or (self.stream is not None and not self.stream.ended)

    def abort(self, problem: Problem) -> None:
        """Answer with this, or let an answer that has begun end with it."""
        self.set_result(problem)
        if self.stream is not None:
            self.stream.end(problem)
        self.cancel()

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        self.is_done = True
        self._on_result = _ignore_result
        self.context.cancel()
        if self.stream is not None:
            self.stream.close()
        if self.task is not None:
            self.task.cancel()


class Executor:
    """All calls of one component. Belongs to the loop's thread."""

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
        """Start the call, or let it wait; `TooManyCalls` when as many wait as may."""
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
        """The caller is gone: what waits is never started, what runs is told."""
        invocation.cancel()
        if invocation not in self._running and invocation in self._waiting:
            self._waiting.remove(invocation)

    async def drain(self, grace: float) -> None:
        """When no call runs or waits; after `grace` seconds the rest is answered as it is."""
        if self._running or self._waiting:
            self._idle = self._loop.create_future()
            await asyncio.wait([self._idle], timeout=grace)
        for invocation in self._waiting:
            invocation.set_result(Stopping())
        self._waiting.clear()
        for invocation in list(self._running):
            invocation.abort(CallAborted())

    def is_hung(self, overdue_seconds: float) -> bool:
        """Whether every slot is held by a call that should have ended `patience` seconds ago."""
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
        except BaseException:  # noqa: BLE001 - not the function's own, so ours: answered and logged, the slot is freed
            return internal_error()

    def _start_task(self, invocation: Invocation) -> None:
        # the call learns of its task in the task's first step: one that is cancelled before would never free the slot
        # (until then the loop itself holds the task)
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
        except Exception:  # noqa: BLE001 - not the function's own, so ours: answered and logged, the slot is freed
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

    # -- deadlines: one alarm for the earliest of them, since nearly all calls end long before

    def _arm_deadline(self, deadline: float) -> None:
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._next_deadline = deadline
        self._deadline_timer = self._loop.call_at(deadline, self._on_deadline) if deadline < NO_DEADLINE else None

    def _on_deadline(self) -> None:
        now = self._loop.time()
        for invocation in [invocation for invocation in self._waiting if invocation.deadline <= now]:
            self._waiting.remove(invocation)
            invocation.set_result(TimedOut("The call waited for its turn until its deadline."))
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
        raise RuntimeError("a call is started before it is admitted")
    return invocation.inputs


def internal_error() -> Problem:
    sys.stderr.write("mlmesh: fault of the component's runtime\n" + traceback.format_exc())
    return Problem()
