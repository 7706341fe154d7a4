"""The webhooks that are being answered: deployments let them go first, as forges wait for seconds only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MAX_WAIT_S = 0.25
"""How long a deployment lets webhooks go first. There may always be one: they must not stop deployments."""


class OpenDeliveries:
    def __init__(self) -> None:
        self._count = 0
        self._none_open = asyncio.Event()
        self._none_open.set()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """While one is being answered."""
        self._count += 1
        self._none_open.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._none_open.set()

    async def wait_until_answered(self) -> None:
        """Return when none is open, after MAX_WAIT_S in any case."""
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_WAIT_S):
                await self._none_open.wait()
