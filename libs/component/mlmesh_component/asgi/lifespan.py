"""The application's own beginning and end (ASGI lifespan)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, MutableMapping
from typing import Any, Callable

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

ASGI = {"version": "3.0", "spec_version": "2.3"}
SHUTDOWN_SECONDS = 5.0


class StartFailed(Exception):
    """The application says that it cannot start."""


class Lifespan:
    """An application that does not know lifespan is served without it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        """Raises `StartFailed`, or what the application raised after it began to start."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._asked.put_nowait({"type": "lifespan.startup"})
        said = await self._next()
        if said is not None and said["type"] == "lifespan.startup.failed":
            raise StartFailed(said.get("message") or "its lifespan says that it cannot start")

    async def stop(self) -> None:
        if self._task is None or self._task.done():
            return
        self._asked.put_nowait({"type": "lifespan.shutdown"})
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._next(), SHUTDOWN_SECONDS)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _next(self) -> Message | None:
        """What the application says next; None when it has ended."""
        assert self._task is not None  # noqa: S101 - `start` made it
        said = asyncio.get_running_loop().create_task(self._said.get())
        await asyncio.wait([said, self._task], return_when=asyncio.FIRST_COMPLETED)
        if said.done():
            return said.result()
        said.cancel()
        return None

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": ASGI, "state": self.state}
        try:
            await self.app(scope, self._asked.get, self._say)
        except Exception:  # noqa: BLE001 - the specification: an application that raises here does not know lifespan
            return

    async def _say(self, message: Message) -> None:
        self._said.put_nowait(message)
