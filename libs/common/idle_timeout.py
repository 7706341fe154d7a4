"""A timeout for work that must show activity: each sign of it starts the timeout again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class IdleTimeout(Exception):
    """There was no activity for too long."""


@asynccontextmanager
async def limit_idle_time(seconds: float | None) -> AsyncIterator[Callable[[], None]]:
    """Raises IdleTimeout after `seconds` without a call of the function that it yields; None: no limit."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds) as timeout:

            def restart_timeout() -> None:
                if seconds is not None:
                    timeout.reschedule(loop.time() + seconds)

            yield restart_timeout
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise IdleTimeout from error
