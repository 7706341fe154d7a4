"""Runs ASGI apps on sockets that are already bound, and stops them gracefully, each in its turn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.server import ServerState

from libs.common.errors import MeshError
from libs.common.http.uvicorn.protocol import HttpProtocol
from libs.common.settings import BadSetting

GRACE_S = 5
"""How long open requests may take to end after a stop was asked for; long polls are cut."""
START_TIMEOUT_S = 60.0
KEEP_ALIVE_S = 75
BACKLOG = 2048


class CannotListen(MeshError):
    """The address is in use or not this machine's."""


class CannotStart(MeshError):
    """A service ended while it was starting; its log says why."""


STARTUP_FAILED_MESSAGE = "Application startup failed. Exiting."
"""The library's words, which say less than ours."""


class _StartupReporter:
    """An app whose start may fail with a sentence, which is kept here, and nobody needs a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.why = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        failed: list[Message] = []

        async def held(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                await send(message)

        try:
            await self.app(scope, receive, held)
        except (MeshError, BadSetting) as error:
            if not failed:
                raise
            self.why = error.detail if isinstance(error, MeshError) else str(error)
            failed[0]["message"] = ""
        finally:
            for message in failed:
                await send(message)


class _ServerState(ServerState):
    """uvicorn's own has a date header that a timer keeps up to date; here who reads it makes it when old."""

    def __init__(self) -> None:
        self._second = 0
        self._headers: list[tuple[bytes, bytes]] = []
        super().__init__()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        second = int(time.time())
        if second != self._second:
            self._second, self._headers = second, [(b"date", formatdate(second, usegmt=True).encode())]
        return self._headers

    @default_headers.setter
    def default_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """uvicorn starts with none."""


class _Server(uvicorn.Server):
    def __init__(self, app: Any) -> None:
        self._told = _StartupReporter(app)
        super().__init__(build_config(self._told))
        self.server_state = _ServerState()
        self._stop = asyncio.Event()

    async def main_loop(self) -> None:
        """Nothing happens on its own while a server runs, so nothing looks."""
        await self._stop.wait()

    def stop(self) -> None:
        self.should_exit = True
        self._stop.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the command, which stops several servers in order."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """A service that cannot start is an error here, not the end of the process that it shares with others."""
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise CannotStart(self._told.why, why=self._told.why) from error
        self.config.loaded_app = self._told.app  # requests need not pass by what listens to the start


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening address; port 0 takes any free one. Raises CannotListen."""
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named: else asyncio leaves Nagle's delay on
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError, UnicodeError) as error:
        bound.close()
        shown = f"[{host}]" if ":" in host else host
        raise CannotListen(f"cannot listen on {shown}:{port}: {getattr(error, 'strerror', None) or error}") from error
    bound.set_inheritable(False)
    return bound


def bind_shared(host: str, port: int, count: int) -> list[socket.socket]:
    """One address for several processes, a socket for each. Raises CannotListen, also when others share it already."""
    with bind(host, port) as alone:
        port = alone.getsockname()[1]
    return [bind(host, port, shared=True) for _ in range(count)]


def socket_url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def run_server(app: Any, bound: socket.socket) -> AsyncIterator[asyncio.Event]:
    """Serve `app` on `bound` while the context lasts. Yields an event that is set if the server ends by itself."""
    server = _Server(app)
    ended = asyncio.Event()
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    serving.add_done_callback(lambda _task: ended.set())
    try:
        await _wait_until_started(server, serving)
        yield ended
    finally:
        for wake in getattr(getattr(app, "state", None), "on_stop", ()):
            wake()
        server.stop()
        await serving
        bound.close()


def _is_not_startup_failure(record: logging.LogRecord) -> bool:
    return record.msg != STARTUP_FAILED_MESSAGE


def build_config(app: Any) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").addFilter(_is_not_startup_failure)
    return uvicorn.Config(
        app,
        loop="none",
        http=HttpProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


async def _wait_until_started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        while not server.started:
            if serving.done():
                raise CannotStart() from serving.exception()
            await asyncio.sleep(0.01)
