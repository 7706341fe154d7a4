"""Looks at runs that several wait for: those who are woken by one ring look together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Coalescer(Generic[Result]):
    """A look that has begun is never joined: it may have seen what was there before the ring."""

    def __init__(self) -> None:
        self._pending: dict[str, asyncio.Task[Result]] = {}

    async def run(self, key: str, read: Callable[[], Awaitable[Result]]) -> Result:
        """What `look` finds; one call of it for all who come in the same step of the loop."""
        task = self._pending.get(key)
        if task is None:
            task = self._pending[key] = asyncio.create_task(self._start(key, read))
        return await asyncio.shield(task)

    async def _start(self, key: str, read: Callable[[], Awaitable[Result]]) -> Result:
        del self._pending[key]
        return await read()
