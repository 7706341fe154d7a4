"""Ends a response that lasts when its caller may no longer get it: a token revoked, a role taken away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from libs.common.errors import MeshError, Unavailable

INTERVAL_S = 1.0
"""How often is asked while a response lasts; one that is shorter is not watched."""


class AccessWatch:
    """Cancels the task that made it, with `refusal` as the reason, when `check` refuses; until `stop`."""

    def __init__(self, check: Callable[[], Awaitable[None]]) -> None:
        """`check` raises the refusal. Unavailable is none: what was allowed goes on while nobody knows."""
        self.refusal: MeshError | None = None
        self._check = check
        self._watched = asyncio.current_task()
        self._checks: asyncio.Task[None] | None = None
        self._start = asyncio.get_running_loop().call_later(INTERVAL_S, self._start_checks)

    def stop(self) -> None:
        self._start.cancel()
        if self._checks is not None:
            self._checks.cancel()
        self._watched = None

    def _start_checks(self) -> None:
        self._checks = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                await self._check()
            except Unavailable:
                pass
            except MeshError as error:
                self.refusal = error
                if self._watched is not None:
                    self._watched.cancel()
                return
            await asyncio.sleep(INTERVAL_S)
