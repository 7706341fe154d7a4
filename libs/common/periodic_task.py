"""Periodic background tasks that can be woken early."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from libs.common import log
from libs.common.errors import MeshError

MAX_BACK_OFF_S = 5.0

Item = TypeVar("Item")


async def for_each(
    items: Iterable[Item], function: Callable[[Item], Awaitable[object]], describe: Callable[[Item], object] = str
) -> None:
    """Calls `function` for each of `items`, also after failures, which are logged with `describe(item)`.

    Raises the first error at the end, so that a PeriodicTask backs off.
    """
    first: Exception | None = None
    for item in items:
        try:
            await function(item)
        except Exception as error:  # noqa: BLE001  a failed item must not block the next; raised below
            first = first or error
            is_expected = isinstance(error, MeshError)
            why = error.detail if isinstance(error, MeshError) else repr(error)
            log.get("loop").warning(
                "Item failed; continuing with the next",
                item=describe(item),
                why=why,
                exc_info=None if is_expected else error,
            )
    if first is not None:
        raise first


class WakeSignal:
    """Wakes a periodic task. It may be created before its task, so that the waking code does not depend on the task."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._due = math.inf
        """Latest time of the next run, on the event loop's clock."""
        self._pause: asyncio.Timeout | None = None

    def wake(self) -> None:
        self._woken.set()

    def run_within(self, within: float) -> None:
        """Makes the next run start within this many seconds; callable during a run and between runs."""
        due = asyncio.get_running_loop().time() + within
        if self._pause is None:
            self._due = min(self._due, due)
        elif due < (self._pause.when() or math.inf):
            self._pause.reschedule(due)

    def clear(self) -> None:
        self._woken.clear()
        self._due = math.inf

    async def wait_until(self, deadline: float) -> None:
        """Waits for `wake`, at most until `deadline` on the event loop's clock or the time of `run_within`."""
        try:  # not wait_for, which before Python 3.12 may lose a cancellation
            until = min(deadline, self._due)
            async with asyncio.timeout_at(None if until == math.inf else until) as self._pause:
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._pause = None


class PeriodicTask:
    """Runs `function` at the start, every `interval` seconds, and immediately after `wake()`.

    An error is logged, and the function runs again after an exponential back-off: it reads the current state, and the
    next run may succeed. Only cancellation ends the task. A `wake()` during a run causes one more run.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[], Awaitable[object]],
        interval: float,
        max_back_off: float = MAX_BACK_OFF_S,
        min_interval: float = 0.0,
        signal: WakeSignal | None = None,
    ) -> None:
        """Seconds. `interval`: `math.inf` for a task that others wake; `max_back_off`: longest pause after a failure;
        `min_interval`: shortest pause after any run."""
        self.name = name
        self._function = function
        self._interval = interval
        self._max_back_off = max_back_off
        self._min_interval = min_interval
        self._signal = WakeSignal() if signal is None else signal
        self._failures = 0
        self._log = log.get("loop")

    def wake(self) -> None:
        self._signal.wake()

    def run_within(self, within: float) -> None:
        """Makes the next run start within this many seconds; callable during a run and between runs."""
        self._signal.run_within(within)

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._signal.clear()
            pause = await self._run_once()
            if self._min_interval:
                await asyncio.sleep(self._min_interval)
            await self._signal.wait_until(clock() + pause)

    async def _run_once(self) -> float:
        try:
            await self._function()
        except MeshError as error:
            return self._record_failure(error.detail)
        except Exception as error:  # noqa: BLE001  a bug in one run must not end the task: the traceback is logged
            self._log.exception("Periodic task crashed", loop=self.name)
            return self._record_failure(repr(error))
        self._failures = 0
        return self._interval

    def _record_failure(self, why: str) -> float:
        self._failures += 1
        if self._failures == 1:
            self._log.warning("Periodic task failed; retrying", loop=self.name, why=why)
        return min(self._max_back_off, 0.1 * 2.0**self._failures)
