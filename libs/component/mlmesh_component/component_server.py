"""The life of a component: listen, load, serve until it is told to stop, end what runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from abc import ABC, abstractmethod
from typing import Any, Callable

from .exception_log import describe_exception, print_traceback
from .fork_safety import SignalHandlers, install_fork_handlers
from .function.function import TargetError
from .function.model import ModelError
from .function.schema import SchemaError
from .settings import Settings
from .thread_pool import ThreadPool

GRACE_SECONDS = 10.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class LoadError(Exception):
    """The component cannot be served; the message is the last line of its log."""

    def __init__(self, reason: str) -> None:
        super().__init__(" ".join(reason.split()))


class ComponentServer(ABC):
    """One component in this process, on the running loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.port = 0
        """Where it listens; 0 until then."""
        self._stop = asyncio.Event()

    @abstractmethod
    async def start_listening(self) -> int:
        """Listen; the port that it became."""

    @abstractmethod
    async def load(self) -> Any:
        """Import, warm up, and open; `LoadError` says in one line what went wrong."""

    @abstractmethod
    async def close(self) -> None:
        """Nothing new is accepted, and what runs may end within the grace."""

    @abstractmethod
    def startup_message(self) -> str:
        """What is told to somebody who started it by hand."""

    def stop(self) -> None:
        self._stop.set()

    async def listen(self) -> int:
        """Listen; the port that it became, also written to the port file."""
        self.port = await self.start_listening()
        if self.settings.port_file is not None:
            _write_atomically(self.settings.port_file, f"{self.port}\n")
        return self.port

    async def run(self) -> None:
        """Load and serve until `stop`, which ends it before it is loaded, too."""
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
        """What `work` makes of the developer's code, in a thread, so that health is answered meanwhile."""
        return await threads.run(lambda: self._translate_errors(work))

    def _translate_errors(self, work: Callable[[], Any]) -> Any:
        """The loop is the thread's for so long, for what a module makes of asyncio at import."""
        asyncio.set_event_loop(self.loop)
        try:
            return work()
        except (TargetError, SchemaError, ModelError) as error:
            raise LoadError(str(error)) from error
        except BaseException as error:  # the developer's code may raise whatever it likes, SystemExit too
            print_traceback(error)
            raise LoadError(f"{describe_exception(error)}{_suggest_fix(error, self.settings.target)}") from error
        finally:
            asyncio.set_event_loop(None)


async def serve_until_signal(server: ComponentServer) -> None:
    """Serve until SIGTERM or SIGINT; a process that is forked meanwhile has none of what this one serves by."""
    signals = SignalHandlers(*STOP_SIGNALS)
    for number in STOP_SIGNALS:
        server.loop.add_signal_handler(number, server.stop)
    signals.record_installed()
    install_fork_handlers(signals, lambda: server.port)
    await server.run()


def _suggest_fix(error: BaseException, target: str) -> str:
    """What to do about a module that is not there; "" for any other error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    if f"{target.partition(':')[0]}.".startswith(f"{error.name}."):
        return "; the manifest names a module that the repository does not have"
    return "; the package that it is of belongs into requirements.txt, or into the image"


def _write_atomically(path: str, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), prefix=".mlmesh-")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.replace(temporary, path)
