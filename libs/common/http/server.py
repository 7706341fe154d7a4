"""Runs ASGI apps with uvicorn on bound sockets, and stops them gracefully one after another."""

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
"""How long a shutdown waits for open requests; long polls are woken first."""
START_TIMEOUT_S = 60.0
KEEP_ALIVE_S = 75
BACKLOG = 2048


class CannotListen(MeshError):
    """The address is in use, or it does not belong to this machine."""


class CannotStart(MeshError):
    """A service failed to start; see its log."""


STARTUP_FAILED_MESSAGE = "Application startup failed. Exiting."
"""uvicorn's log message, which lacks the reason."""


class _StartupReporter:
    """ASGI wrapper that records why the startup of an app failed, instead of a traceback in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.why = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        failures: list[Message] = []

        async def hold_failure(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failures.append(message)
            else:
                await send(message)

        try:
            await self.app(scope, receive, hold_failure)
        except (MeshError, BadSetting) as error:
            if not failures:
                raise
            self.why = error.detail if isinstance(error, MeshError) else str(error)
            failures[0]["message"] = ""
        finally:
            for message in failures:
                await send(message)


class _ServerState(ServerState):
    """Computes the date header on access, once per second, instead of with uvicorn's timer."""

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
        """uvicorn sets an empty list at startup."""


class _Server(uvicorn.Server):
    def __init__(self, app: Any) -> None:
        self._reporter = _StartupReporter(app)
        super().__init__(build_config(self._reporter))
        self.server_state = _ServerState()
        self._stop = asyncio.Event()

    async def main_loop(self) -> None:
        """Waits for `stop`, without uvicorn's periodic ticks."""
        await self._stop.wait()

    def stop(self) -> None:
        self.should_exit = True
        self._stop.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The command handles signals: it stops several servers in order."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Raises CannotStart instead of exiting the process, which may run other services."""
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise CannotStart(self._reporter.why, why=self._reporter.why) from error
        self.config.loaded_app = self._reporter.app  # requests bypass the wrapper


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound socket; port 0 selects a free port. Raises CannotListen."""
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # explicit: else asyncio omits TCP_NODELAY
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError, UnicodeError) as error:
        bound.close()
        address = f"[{host}]" if ":" in host else host
        raise CannotListen(f"cannot listen on {address}:{port}: {getattr(error, 'strerror', None) or error}") from error
    bound.set_inheritable(False)
    return bound


def bind_shared(host: str, port: int, count: int) -> list[socket.socket]:
    """A socket per process for one address. Raises CannotListen, also if other programs share the address already."""
    with bind(host, port) as probe:
        port = probe.getsockname()[1]
    return [bind(host, port, shared=True) for _ in range(count)]


def socket_url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def run_server(app: Any, bound: socket.socket) -> AsyncIterator[asyncio.Event]:
    """Serves `app` on `bound` within the context. Yields an event that is set if the server stops by itself."""
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
