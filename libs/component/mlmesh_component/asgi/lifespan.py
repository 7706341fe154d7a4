"""The ASGI lifespan protocol: startup and shutdown of the application."""

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


class StartupFailed(Exception):
    """The application answered `lifespan.startup.failed`."""


class Lifespan:
    """Runs the lifespan; an application that does not support it is served without."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        """Send `lifespan.startup` and wait; raises `StartupFailed`."""
        self._task = asyncio.get_running_loop().create_task(self._run_app())
        self._to_app.put_nowait({"type": "lifespan.startup"})
        message = await self._next_message()
        if message is not None and message["type"] == "lifespan.startup.failed":
            raise StartupFailed(message.get("message") or "the lifespan startup failed")

    async def stop(self) -> None:
        if self._task is None or self._task.done():
            return
        self._to_app.put_nowait({"type": "lifespan.shutdown"})
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._next_message(), SHUTDOWN_SECONDS)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _next_message(self) -> Message | None:
        """The application's next message; None if it has returned."""
        assert self._task is not None  # noqa: S101 - set by `start`
        message = asyncio.get_running_loop().create_task(self._from_app.get())
        await asyncio.wait([message, self._task], return_when=asyncio.FIRST_COMPLETED)
        if message.done():
            return message.result()
        message.cancel()
        return None

    async def _run_app(self) -> None:
        scope = {"type": "lifespan", "asgi": ASGI, "state": self.state}
        try:
            await self.app(scope, self._to_app.get, self._receive_message)
        except Exception:  # noqa: BLE001 - by specification an application that raises here does not support lifespan
            return

    async def _receive_message(self, message: Message) -> None:
        self._from_app.put_nowait(message)
