"""Child processes, started with posix_spawn: the cost of fork() in asyncio grows with the worker's memory."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Thread

DEVNULL_ACTIONS = (
    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    (os.POSIX_SPAWN_DUP2, 1, 2),
)
DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores; other programs may rely on their default."""


class ChildProcess:
    """A process in its own session, without the worker's standard streams. Create it in a running loop."""

    def __init__(self, arguments: list[str], env: Mapping[str, str]) -> None:
        """`arguments`: the program's path, then its arguments. Raises OSError."""
        self.pid = os.posix_spawn(
            arguments[0], arguments, env, file_actions=DEVNULL_ACTIONS, setsid=True, setsigdef=DEFAULT_SIGNALS
        )
        self._ended = asyncio.Event()
        self._end_callbacks: set[Callable[[], None]] = set()
        Thread(target=self._reap, args=(asyncio.get_running_loop(),), name=f"child {self.pid}", daemon=True).start()

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    async def wait(self) -> None:
        """Return once it has ended."""
        await self._ended.wait()

    def add_end_callback(self, callback: Callable[[], None]) -> None:
        """Call it in the loop once the process has ended; at once if it has."""
        if self.has_ended:
            callback()
        else:
            self._end_callbacks.add(callback)

    def remove_end_callback(self, callback: Callable[[], None]) -> None:
        self._end_callbacks.discard(callback)

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._on_end)

    def _on_end(self) -> None:
        self._ended.set()
        while self._end_callbacks:
            self._end_callbacks.pop()()
