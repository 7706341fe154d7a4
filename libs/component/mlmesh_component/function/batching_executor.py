"""Executor with dynamic batching: calls that arrive while a batch runs form the next one; a lone call never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..problems import CallAborted, TooManyCalls
from ..thread_pool import ThreadPool, call_in_loop
from .executor import MAX_QUEUED_PER_SLOT, CallTracker, Invocation, get_inputs, internal_error
from .predictor import Predictor, Result
from .schema import Inputs


class BatchingExecutor:
    """At most `size` calls in a batch and `concurrency` batches at a time. Used on the loop's thread.

    A batch that is smaller than the previous one waits `delay` seconds: callers often send their next call at once.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        predictor: Predictor,
        threads: ThreadPool,
        concurrency: int,
        size: int,
        delay: float,
    ) -> None:
        self.calls = CallTracker(loop)
        self._loop = loop
        self._predictor = predictor
        self._threads = threads
        self._limit = concurrency * size * MAX_QUEUED_PER_SLOT
        self._free_slots = concurrency
        self._max_size = size
        self._delay = delay
        self._previous_size = 1
        self._delay_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def is_hung(self, overdue_seconds: float) -> bool:
        return not self._free_slots and self.calls.is_overdue(overdue_seconds)

    def submit(self, invocation: Invocation, inputs: Inputs) -> None:
        if len(self.calls.waiting) >= self._limit:
            raise TooManyCalls()
        invocation.inputs, invocation.queued_at = inputs, self._loop.time()
        if invocation.deadline < self.calls.next_deadline:
            self.calls.arm_deadline(invocation.deadline)
        self.calls.waiting.append(invocation)
        self._start_batches()

    def _start_batches(self) -> None:
        while self._free_slots and self.calls.waiting:
            if len(self.calls.waiting) < min(self._max_size, self._previous_size):
                if self._delay_timer is None:
                    self._delay_timer = self._loop.call_later(self._delay, self._flush_early)
                return
            self._start_batch()

    def _flush_early(self) -> None:
        """Start the batch after the delay, although it is not full."""
        self._delay_timer = None
        if self._free_slots and self.calls.waiting:
            self._start_batch()
        self._start_batches()

    def _start_batch(self) -> None:
        if self._delay_timer is not None:
            self._delay_timer.cancel()
            self._delay_timer = None
        batch = self._next_batch()
        self._previous_size = len(batch)
        self._free_slots -= 1
        self.calls.running.update(batch)
        now = self._loop.time()
        for invocation in batch:
            invocation.queue_seconds, invocation.batch_size = now - invocation.queued_at, len(batch)
        if self._predictor.function.is_async:
            task = self._loop.create_task(self._run_batch_in_loop(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._threads.submit(lambda: call_in_loop(self._loop, self._finish_batch, batch, self._run_batch(batch)))

    def _next_batch(self) -> list[Invocation]:
        """Remove the oldest calls from the queue; only those of one caller if the function takes the context."""
        first = self.calls.waiting[0]
        candidates = self.calls.waiting
        if self._predictor.function.takes_context:
            candidates = type(candidates)(
                invocation for invocation in candidates if invocation.context.caller == first.context.caller
            )
        batch = [invocation for invocation, _ in zip(candidates, range(self._max_size))]
        if candidates is self.calls.waiting:
            for _ in batch:
                self.calls.waiting.popleft()
        else:
            for invocation in batch:
                self.calls.waiting.remove(invocation)
        return batch

    def _run_batch(self, batch: Sequence[Invocation]) -> list[Result]:
        try:
            return self._predictor.predict_batch([(get_inputs(invocation), invocation.context) for invocation in batch])
        except BaseException:  # noqa: BLE001 - a bug of the runtime: log it, respond with 500, free the slot
            return [internal_error()] * len(batch)

    async def _run_batch_in_loop(self, batch: Sequence[Invocation]) -> None:
        results: list[Result] = [CallAborted()] * len(batch)
        try:
            results = await self._predictor.predict_batch_async(
                [(get_inputs(invocation), invocation.context) for invocation in batch]
            )
        except Exception:  # noqa: BLE001 - a bug of the runtime: log it, respond with 500, free the slot
            results = [internal_error()] * len(batch)
        finally:
            self._finish_batch(batch, results)

    def _finish_batch(self, batch: Sequence[Invocation], results: Sequence[Result]) -> None:
        self._free_slots += 1
        self.calls.running.difference_update(batch)
        self._start_batches()
        for invocation, result in zip(batch, results):
            invocation.set_result(result)
        self.calls.notify_if_idle()
