"""Calls performed together: what waits while a batch runs is the next one, so a lone caller waits for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..problems import CutShort, TooManyCalls
from ..thread_pool import Threads, back
from .executor import Call, Calls, call_inputs, own_fault
from .predictor import Predictor, Result
from .schema import Inputs


class Batches(Calls):
    """At most `size` calls in a batch and `concurrency` batches at once. Belongs to the loop's thread.

    A batch smaller than the one before waits `delay` seconds for more: callers who were just answered come back.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        predictor: Predictor,
        threads: Threads,
        concurrency: int,
        size: int,
        delay: float,
    ) -> None:
        super().__init__(loop, predictor, threads, concurrency * size)
        self._free = concurrency
        self._size = size
        self._delay = delay
        self._usual = 1
        self._patience: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def stuck(self, patience: float) -> bool:
        latest = self._loop.time() - patience
        return not self._free and all(call.deadline < latest for call in self._running)

    def admit(self, call: Call, inputs: Inputs) -> None:
        if len(self._waiting) >= self._limit:
            raise TooManyCalls()
        call.inputs, call.queued = inputs, self._loop.time()
        if call.deadline < self._alarm_at:
            self._set_alarm(call.deadline)
        self._waiting.append(call)
        self._fill()

    def _fill(self) -> None:
        while self._free and self._waiting:
            if len(self._waiting) < min(self._size, self._usual):
                if self._patience is None:
                    self._patience = self._loop.call_later(self._delay, self._hurry)
                return
            self._start_batch()

    def _hurry(self) -> None:
        """The delay is over: what has come goes."""
        self._patience = None
        if self._free and self._waiting:
            self._start_batch()
        self._fill()

    def _start_batch(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        batch = self._taken()
        self._usual = len(batch)
        self._free -= 1
        self._running.update(batch)
        now = self._loop.time()
        for call in batch:
            call.waited, call.together = now - call.queued, len(batch)
        if self._predictor.function.is_async:
            task = self._loop.create_task(self._perform_batch(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._threads.submit(lambda: back(self._loop, self._batch_ended, batch, self._results(batch)))

    def _taken(self) -> list[Call]:
        """The oldest calls; of one caller only when the function is told who calls."""
        first = self._waiting[0]
        together = self._waiting
        if self._predictor.function.takes_context:
            together = type(together)(one for one in together if one.context.caller == first.context.caller)
        batch = [call for call, _ in zip(together, range(self._size))]
        if together is self._waiting:
            for _ in batch:
                self._waiting.popleft()
        else:
            for call in batch:
                self._waiting.remove(call)
        return batch

    def _results(self, batch: Sequence[Call]) -> list[Result]:
        try:
            return self._predictor.perform_together([(call_inputs(call), call.context) for call in batch])
        except BaseException:  # noqa: BLE001 - not the function's own, so ours: answered and logged, the slot is freed
            return [own_fault()] * len(batch)

    async def _perform_batch(self, batch: Sequence[Call]) -> None:
        results: list[Result] = [CutShort()] * len(batch)
        try:
            results = await self._predictor.perform_together_async(
                [(call_inputs(call), call.context) for call in batch]
            )
        except Exception:  # noqa: BLE001 - not the function's own, so ours: answered and logged, the slot is freed
            results = [own_fault()] * len(batch)
        finally:
            self._batch_ended(batch, results)

    def _batch_ended(self, batch: Sequence[Call], results: Sequence[Result]) -> None:
        self._free += 1
        self._running.difference_update(batch)
        self._fill()
        for call, result in zip(batch, results):
            call.answer(result)
        if self._idle is not None and not self._running and not self._waiting and not self._idle.done():
            self._idle.set_result(None)
