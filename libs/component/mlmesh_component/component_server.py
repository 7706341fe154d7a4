"""The lifecycle of a component process: listen, load, serve until a stop signal, drain."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from abc import ABC, abstractmethod
from typing import Any, Callable

from .exception_log import describe_exception, locate_exception, print_traceback
from .fork_safety import SignalHandlers, install_fork_handlers
from .function.function import TargetError
from .function.model import ModelError
from .function.schema import SchemaError
from .settings import Settings
from .thread_pool import ThreadPool

GRACE_SECONDS = 10.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class LoadError(Exception):
    """The component cannot be served; the message becomes the last line of its log."""

    def __init__(self, reason: str) -> None:
        super().__init__(" ".join(reason.split()))


class ComponentServer(ABC):
    """The one component of this process, on the running event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.port = 0
        """The port of the listening socket; 0 until it is open."""
        self._stop = asyncio.Event()

    @abstractmethod
    async def start_listening(self) -> int:
        """Open the listening socket and return its port."""

    @abstractmethod
    async def load(self) -> Any:
        """Import, warm up and become ready; raises `LoadError` with a reason of one line."""

    @abstractmethod
    async def close(self) -> None:
        """Accept nothing new, and give running calls `GRACE_SECONDS` to end."""

    @abstractmethod
    def startup_message(self) -> str:
        """The text for a person who started the component by hand."""

    def stop(self) -> None:
        self._stop.set()

    async def listen(self) -> int:
        """Open the listening socket and return its port, which is also written to the port file."""
        self.port = await self.start_listening()
        if self.settings.port_file is not None:
            _write_atomically(self.settings.port_file, f"{self.port}\n")
        return self.port

    async def run(self) -> None:
        """Load and serve until `stop` is called, which also interrupts loading."""
        await self.listen()
        loading = self.loop.create_task(self._load_and_announce())
        stopped = self.loop.create_task(self._stop.wait())
        await asyncio.wait([loading, stopped], return_when=asyncio.FIRST_COMPLETED)
        try:
            if loading.done():
                loading.result()
                await self._stop.wait()
        finally:
            for task in (loading, stopped):
                task.cancel()
            await asyncio.wait([loading, stopped])
            await self.close()

    async def _load_and_announce(self) -> None:
        await self.load()
        if self.settings.local:
            sys.stderr.write(self.startup_message())
            sys.stderr.flush()

    async def run_import(self, threads: ThreadPool, work: Callable[[], Any]) -> Any:
        """Run `work`, which imports the developer's code, in a thread: the loop keeps answering health checks."""
        return await threads.run(lambda: self._translate_errors(work))

    def _translate_errors(self, work: Callable[[], Any]) -> Any:
        """Turn every error into a `LoadError`. Modules may use asyncio at import, so the thread gets the event loop."""
        asyncio.set_event_loop(self.loop)
        try:
            return work()
        except (TargetError, SchemaError, ModelError) as error:
            raise LoadError(str(error)) from error
        except BaseException as error:  # the developer's code may raise whatever it likes, SystemExit too
            print_traceback(error)
            place = locate_exception(error, os.getcwd())
            suggestion = _suggest_fix(error, self.settings.target)
            raise LoadError(f"{place}{describe_exception(error)}{suggestion}") from error
        finally:
            asyncio.set_event_loop(None)


async def serve_until_signal(server: ComponentServer) -> None:
    """Serve until SIGTERM or SIGINT. Forked children keep neither the signal handlers nor the sockets."""
    signals = SignalHandlers(*STOP_SIGNALS)
    for number in STOP_SIGNALS:
        server.loop.add_signal_handler(number, server.stop)
    signals.record_installed()
    install_fork_handlers(signals, lambda: server.port)
    await server.run()


def _suggest_fix(error: BaseException, target: str) -> str:
    """How to fix a missing module; "" for any other error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    if f"{target.partition(':')[0]}.".startswith(f"{error.name}."):
        return "; the manifest names a module that the repository does not have"
    return "; add its package to requirements.txt, or to the image"


def _write_atomically(path: str, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), prefix=".mlmesh-")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.replace(temporary, path)
