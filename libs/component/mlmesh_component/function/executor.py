"""Who is called when: as many calls at once as `concurrency`, a bounded queue behind them, a deadline for each.

The slot of a call is free again when the function has really returned, not when its caller has been answered.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections import deque
from typing import Callable

from ..http.response_stream import Stream
from ..problems import CutShort, Problem, Stopping, TimedOut, TooManyCalls
from ..thread_pool import Threads, back
from .context import Context
from .predictor import Predictor, Result
from .schema import Inputs

WAITING_PER_SLOT = 12
"""A gateway lets ten wait, and a tenth more that are not of the caller who has all the others."""
FOREVER = float("inf")


def _nobody(result: Result) -> None:
    """Has been answered."""


class Call:
    """One call; `answer` is called once, on the loop, unless the caller has gone."""

    __slots__ = ("_answer", "context", "deadline", "inputs", "over", "queued", "stream", "task", "together", "waited")

    def __init__(self, context: Context, deadline: float, answer: Callable[[Result], None]) -> None:
        self.context = context
        self.deadline = deadline
        self.inputs: Inputs | None = None
        self.over = False
        self.task: asyncio.Task[None] | None = None
        self.stream: Stream | None = None
        self.queued = 0.0
        """When it began to wait, on the loop's clock; 0 when it did not have to."""
        self.waited = 0.0
        """Seconds until it was started."""
        self.together = 0
        """How many calls its batch had; 0 without batching."""
        self._answer = answer

    def answer(self, result: Result) -> None:
        if not self.over:
            self.over = True
            answer, self._answer = self._answer, _nobody  # it may know this call: no circle is left behind
            answer(result)

    @property
    def awaited(self) -> bool:
        """Somebody waits for the answer or for more of it."""
        return not self.over or (self.stream is not None and not self.stream.ended)

    def cut_off(self, problem: Problem) -> None:
        """Answer with this, or let an answer that has begun end with it."""
        self.answer(problem)
        if self.stream is not None:
            self.stream.end(problem)
        self.abandon()

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        self.over = True
        self._answer = _nobody
        self.context.cancel()
        if self.stream is not None:
            self.stream.close()
        if self.task is not None:
            self.task.cancel()


class Calls:
    """All calls of one component. Belongs to the loop's thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, predictor: Predictor, threads: Threads, concurrency: int
    ) -> None:
        self._loop = loop
        self._predictor = predictor
        self._threads = threads
        self._begin = self._begin_task if predictor.function.is_async else self._begin_in_thread
        self._concurrency = concurrency
        self._limit = concurrency * WAITING_PER_SLOT
        self._waiting: deque[Call] = deque()
        self._running: set[Call] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = FOREVER
        self._idle: asyncio.Future[None] | None = None

    def admit(self, call: Call, inputs: Inputs) -> None:
        """Start the call, or let it wait; `TooManyCalls` when as many wait as may."""
        call.inputs = inputs
        if call.deadline < self._alarm_at:
            self._set_alarm(call.deadline)
        if len(self._running) < self._concurrency:
            self._start(call)
        elif len(self._waiting) < self._limit:
            call.queued = self._loop.time()
            self._waiting.append(call)
        else:
            raise TooManyCalls()

    def abandon(self, call: Call) -> None:
        """The caller is gone: what waits is never started, what runs is told."""
        call.abandon()
        if call not in self._running and call in self._waiting:
            self._waiting.remove(call)

    async def drained(self, grace: float) -> None:
        """When no call runs or waits; after `grace` seconds the rest is answered as it is."""
        if self._running or self._waiting:
            self._idle = self._loop.create_future()
            await asyncio.wait([self._idle], timeout=grace)
        for call in self._waiting:
            call.answer(Stopping())
        self._waiting.clear()
        for call in list(self._running):
            call.cut_off(CutShort())

    def stuck(self, patience: float) -> bool:
        """Whether every slot is held by a call that should have ended `patience` seconds ago."""
        latest = self._loop.time() - patience
        return len(self._running) >= self._concurrency and all(call.deadline < latest for call in self._running)

    @property
    def running(self) -> int:
        return len(self._running)

    def _start(self, call: Call) -> None:
        self._running.add(call)
        if call.queued:
            call.waited = self._loop.time() - call.queued
        self._begin(call)

    def _begin_in_thread(self, call: Call) -> None:
        self._threads.submit(lambda: back(self._loop, self._ended, call, self._result(call)))

    def _result(self, call: Call) -> Result:
        try:
            if call.over:
                return CutShort()
            return self._predictor.perform(call_inputs(call), call.context)
        except Problem as problem:
            return problem
        except BaseException:  # noqa: BLE001 - not the function's own, so ours: answered and logged, the slot is freed
            return own_fault()

    def _begin_task(self, call: Call) -> None:
        # the call learns of its task in the task's first step: one that is cancelled before would never free the slot
        # (until then the loop itself holds the task)
        self._loop.create_task(self._perform(call))

    async def _perform(self, call: Call) -> None:
        result: Result = CutShort()
        call.task = asyncio.current_task()
        try:
            if call.over:
                return
            result = await self._predictor.perform_async(call_inputs(call), call.context)
        except Problem as problem:
            result = problem
        except Exception:  # noqa: BLE001 - not the function's own, so ours: answered and logged, the slot is freed
            result = own_fault()
        finally:
            self._ended(call, result)

    def _ended(self, call: Call, result: Result) -> None:
        self._running.discard(call)
        if self._waiting:
            self._start(self._waiting.popleft())
        elif self._idle is not None and not self._running and not self._idle.done():
            self._idle.set_result(None)
        call.answer(result)

    # -- deadlines: one alarm for the earliest of them, since nearly all calls end long before

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._loop.call_at(at, self._ring) if at < FOREVER else None

    def _ring(self) -> None:
        now = self._loop.time()
        for call in [call for call in self._waiting if call.deadline <= now]:
            self._waiting.remove(call)
            call.answer(TimedOut("The call waited for its turn until its deadline."))
        for call in [call for call in self._running if call.deadline <= now and call.awaited]:
            call.cut_off(TimedOut())
        rest = [call.deadline for call in self._waiting] + [call.deadline for call in self._running if call.awaited]
        self._alarm = None
        self._set_alarm(min(rest, default=FOREVER))


def call_inputs(call: Call) -> Inputs:
    if call.inputs is None:
        raise RuntimeError("a call is started before it is admitted")
    return call.inputs


def own_fault() -> Problem:
    sys.stderr.write("mlmesh: fault of the component's runtime\n" + traceback.format_exc())
    return Problem()
