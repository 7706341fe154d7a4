"""One timer for all logs that are followed: it wakes a reader whose file has grown or whose process has ended.

A timer and a timeout for each reader would cost a worker with many quiet components most of its idle time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from services.worker.runtime.process.child_process import ChildProcess

POLL_S = 0.1
"""How often a busy log is checked."""
QUIET_POLL_S = 1.0
"""How often a log that has been quiet for long is checked:"""
QUIET_FACTOR = 10.0
"""a tenth of the time in which nothing was written."""
TIMER_MARGIN_S = 0.001
"""uvloop rounds to milliseconds: a timer may fire this much early."""


@dataclass(eq=False)
class _Waiter:
    """A reader that waits for more than `size` bytes in its file, or for the end of its process."""

    descriptor: int
    size: int
    last_read: float
    has_ended: Callable[[], bool]
    future: asyncio.Future[None]
    due: float = 0.0

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    def check(self) -> None:
        """Wake the reader if there is something for it; an error is its own, and does not stop the timer."""
        try:
            if os.fstat(self.descriptor).st_size > self.size or self.has_ended():
                self.wake()
        except OSError as error:
            if not self.future.done():
                self.future.set_exception(error)

    def set_next_check(self, now: float) -> None:
        """On a grid, so that checks of many files fall together; never later than the interval."""
        interval = min(QUIET_POLL_S, max(POLL_S, (now - self.last_read) / QUIET_FACTOR))
        grid = QUIET_POLL_S if interval == QUIET_POLL_S else POLL_S
        self.due = (now + interval) // grid * grid


class LogWatcher:
    """Holds the readers that wait, and a timer for the first of them that is due."""

    def __init__(self) -> None:
        self._waiters: set[_Waiter] = set()
        self._timer: asyncio.Handle | None = None
        self._timer_due = 0.0
        """In the loop's time; uvloop gives handles without one for what is due now."""

    async def wait_for_change(
        self, file: BinaryIO, last_read: float, has_ended: Callable[[], bool], child: ChildProcess | None
    ) -> None:
        """Return when `file` is longer than what was read of it, or the process has ended.

        A child's end wakes its reader at once; `has_ended` is polled for other processes. `last_read` is in the
        loop's time.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(file.fileno(), file.tell(), last_read, has_ended, loop.create_future())
        waiter.set_next_check(loop.time())
        self._waiters.add(waiter)
        self._set_timer(loop, waiter.due)
        if child is not None:
            child.add_end_callback(waiter.wake)
        try:
            await waiter.future
        finally:
            self._waiters.discard(waiter)
            if child is not None:
                child.remove_end_callback(waiter.wake)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer, self._timer_due = loop.call_at(due, self._check, loop), due

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, now = None, loop.time() + TIMER_MARGIN_S
        for waiter in self._waiters:
            if waiter.due <= now:
                waiter.check()
                waiter.set_next_check(now)
        if self._waiters:
            self._set_timer(loop, min(waiter.due for waiter in self._waiters))
