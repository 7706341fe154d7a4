"""Threads that do what must not stop the loop, and the way back to it."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any, Callable


class ThreadPool:
    """Exactly `count` threads that take work in order. They die with the process, hung or not."""

    def __init__(self, count: int, name: str) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for index in range(count):
            threading.Thread(target=self._run_worker, name=f"mlmesh-{name}-{index}", daemon=True).start()

    def submit(self, work: Callable[[], None]) -> None:
        """`work` must not raise."""
        self._work.put(work)

    async def run(self, work: Callable[[], Any]) -> Any:
        """What `work` returns or raises, awaited."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def run_work() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - carried over to the one who awaits
                call_in_loop(loop, _set_exception, future, error)
            else:
                call_in_loop(loop, _set_result, future, result)

        self.submit(run_work)
        return await future

    def _run_worker(self) -> None:
        while True:
            self._work.get()()


def call_in_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *arguments: Any) -> None:
    """Call `function` on the loop, from a thread; nothing when the loop is gone already."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


def _set_result(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        # a future cannot carry StopIteration, and SystemExit would end the loop
        exception = (
            error if isinstance(error, Exception) and not isinstance(error, StopIteration) else WorkFailed(error)
        )
        future.set_exception(exception)


class WorkFailed(Exception):
    """What was raised in the thread cannot travel itself; it is the cause."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(repr(error))
        self.__cause__ = error
