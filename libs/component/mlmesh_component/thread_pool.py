"""Daemon threads for work that must not block the event loop, and the call back into the loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any, Callable


class ThreadPool:
    """A fixed number of daemon threads with one FIFO queue; a hung one does not keep the process alive."""

    def __init__(self, count: int, name: str) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for index in range(count):
            threading.Thread(target=self._run_worker, name=f"mlmesh-{name}-{index}", daemon=True).start()

    def submit(self, work: Callable[[], None]) -> None:
        """`work` must not raise."""
        self._work.put(work)

    async def run(self, work: Callable[[], Any]) -> Any:
        """Run `work` in a thread and return its result, or raise its exception."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def run_work() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - the awaiting task raises it
                call_in_loop(loop, _set_exception, future, error)
            else:
                call_in_loop(loop, _set_result, future, result)

        self.submit(run_work)
        return await future

    def _run_worker(self) -> None:
        while True:
            self._work.get()()


def call_in_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *arguments: Any) -> None:
    """Schedule `function` on the loop from a thread; does nothing if the loop is closed."""
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
    """Wraps an exception of a thread that a future cannot carry; that exception is the cause."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(repr(error))
        self.__cause__ = error
