"""Looks at runs that several wait for: those who are woken by one ring look together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Looks(Generic[Found]):
    """A look that has begun is never joined: it may have seen what was there before the ring."""

    def __init__(self) -> None:
        self._about_to: dict[str, asyncio.Task[Found]] = {}

    async def together(self, key: str, look: Callable[[], Awaitable[Found]]) -> Found:
        """What `look` finds; one call of it for all who come in the same step of the loop."""
        task = self._about_to.get(key)
        if task is None:
            task = self._about_to[key] = asyncio.create_task(self._begin(key, look))
        return await asyncio.shield(task)

    async def _begin(self, key: str, look: Callable[[], Awaitable[Found]]) -> Found:
        del self._about_to[key]
        return await look()
