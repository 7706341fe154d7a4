"""A loop that converges: one step, again and again, at once when somebody rings."""

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
    """`step` for each of `items`, whatever becomes of those before; what failed is logged by its name.

    Raises the first error when all have had their turn, so that a loop rests before it looks again.
    """
    first: Exception | None = None
    for item in items:
        try:
            await function(item)
        except Exception as error:  # noqa: BLE001  one that cannot be done holds up no other; raised below
            first = first or error
            foreseen = isinstance(error, MeshError)
            why = error.detail if isinstance(error, MeshError) else repr(error)
            log.get("loop").warning(
                "one is left out", item=describe(item), why=why, exc_info=None if foreseen else error
            )
    if first is not None:
        raise first


class WakeSignal:
    """Wakes a periodic task. It may exist before its task, so that what wakes the task need not know it."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._due = math.inf
        """When the next step is due at the latest, on the event loop's clock."""
        self._pause: asyncio.Timeout | None = None

    def wake(self) -> None:
        self._woken.set()

    def run_within(self, within: float) -> None:
        """Make the next step start in `within` seconds at the latest."""
        due = asyncio.get_running_loop().time() + within
        if self._pause is None:
            self._due = min(self._due, due)
        elif due < (self._pause.when() or math.inf):
            self._pause.reschedule(due)

    def clear(self) -> None:
        self._woken.clear()
        self._due = math.inf

    async def wait_until(self, deadline: float) -> None:
        """Wait for `wake`, until `deadline` on the event loop's clock or what `run_within` has set."""
        try:  # not wait_for, which before Python 3.12 may lose a cancellation
            async with asyncio.timeout_at(min(deadline, self._due)) as self._pause:
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._pause = None


class PeriodicTask:
    """Runs `step` every `interval` seconds and at once after `wake()`.

    A step that raises is logged and repeated with a growing pause; it never ends the loop, because what the
    step reads is the truth and the next reading may well succeed. Cancellation ends it.
    Rings that arrive during a step are answered by one more step.
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
        """`back_off`: longest pause in seconds after a step that failed; `rest`: the shortest after any."""
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
        """Make the next step start in `within` seconds at the latest."""
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
        except Exception as error:  # noqa: BLE001  the loop outlives a defect in one step: the traceback is logged
            self._log.exception("step failed", loop=self.name)
            return self._record_failure(repr(error))
        self._failures = 0
        return self._interval

    def _record_failure(self, why: str) -> float:
        self._failures += 1
        if self._failures == 1:
            self._log.warning("step will be repeated", loop=self.name, why=why)
        return min(self._max_back_off, 0.1 * 2.0**self._failures)
