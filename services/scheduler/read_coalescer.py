"""Request coalescing (singleflight): waiters that are woken by one notification share one query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class ReadCoalescer(Generic[Result]):
    """Coalesces only reads that have not started: a running one may predate the notification."""

    def __init__(self) -> None:
        self._pending: dict[str, asyncio.Task[Result]] = {}

    async def run(self, key: str, read: Callable[[], Awaitable[Result]]) -> Result:
        """The result of `read`, which is called once for all callers of the same key in one step of the event loop."""
        task = self._pending.get(key)
        if task is None:
            task = self._pending[key] = asyncio.create_task(self._start(key, read))
        return await asyncio.shield(task)

    async def _start(self, key: str, read: Callable[[], Awaitable[Result]]) -> Result:
        del self._pending[key]
        return await read()
