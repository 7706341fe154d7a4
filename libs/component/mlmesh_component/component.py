"""The life of a component: listen, load, warm up, serve, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import traceback
import uuid
from typing import Any, Callable

from . import llhttp, local, model
from .batch import Batches
from .call import FOREVER, Call, Calls
from .context import Context
from .files import BoxFiles, LocalFiles
from .framing import Limits
from .function import Function, TargetError, find
from .model import ModelError
from .predict import Predictor, Result, describe
from .problems import Problem
from .routes import FAILED, STARTING, Routes
from .schema import SchemaError, check
from .server import Parser, Server
from .settings import Settings
from .stream import Drain, Stream
from .streams import Streams
from .threads import Threads

GRACE_SECONDS = 10.0
READERS = 2
"""Threads that read large bodies, and move files for functions that run on the loop."""


class LoadError(Exception):
    """The component cannot be served; the message is the last line of its log."""

    def __init__(self, reason: str) -> None:
        super().__init__(" ".join(reason.split()))


class Component:
    """One component in this process, on the running loop."""

    def __init__(self, settings: Settings, parser: Callable[[Limits], Parser]) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._threads = Threads(settings.concurrency, "call")
        self._readers = Threads(READERS, "read")
        self._routes = Routes(settings, self._loop, self._readers)
        self._server = Server(self._routes, parser, Limits(settings.max_body))
        self._calls: Calls | None = None

    def stop(self) -> None:
        self._stop.set()

    async def listen(self) -> int:
        """Listen; the port that it became, also written to the port file."""
        port = await self._server.start(self._settings.host, self._settings.port)
        if self._settings.port_file is not None:
            _write_atomically(self._settings.port_file, f"{port}\n")
        return port

    async def load(self) -> Function:
        """Import, load the model, warm up, and open; `LoadError` says in one line what went wrong.

        Import and model come up in a thread that later calls the function, so health is answered meanwhile.
        """
        try:
            function: Function = await self._threads.run(self._loaded)
            self._routes.tell(STARTING, "The warm-up requests are being answered.")
            calls = await self._warmed(function)
        except LoadError as error:
            self._routes.tell(FAILED, str(error))
            raise
        self._calls = calls
        self._routes.open(calls, function)
        return function

    async def serve(self) -> None:
        """Until `stop`; then nothing new is accepted, and what runs may end within the grace."""
        await self._stop.wait()
        await self.close()

    async def close(self) -> None:
        self._routes.stop()
        self._server.stop_accepting()
        if self._calls is not None:
            await self._calls.drained(GRACE_SECONDS)
        await self._server.close()

    async def run(self) -> None:
        """Load and serve; a stop before it is loaded ends it too."""
        await self.listen()
        loading = self._loop.create_task(self._load_and_announce())
        stopped = self._loop.create_task(self._stop.wait())
        await asyncio.wait([loading, stopped], return_when=asyncio.FIRST_COMPLETED)
        try:
            if loading.done():
                loading.result()
                await self.serve()
        finally:
            for task in (loading, stopped):
                task.cancel()
            await asyncio.wait([loading, stopped])
            await self.close()

    async def _load_and_announce(self) -> None:
        function = await self.load()
        if self._settings.local:
            sys.stderr.write(local.announcement(self._settings, function.schema, self._server.port))
            sys.stderr.flush()

    def _loaded(self) -> Function:
        """In the thread; the loop is the thread's for so long, for what a module makes of asyncio at import."""
        asyncio.set_event_loop(self._loop)
        try:
            return self._function()
        except (TargetError, SchemaError, ModelError) as error:
            raise LoadError(str(error)) from error
        except BaseException as error:  # the developer's code may raise whatever it likes, SystemExit too
            traceback.print_exception(type(error), error, error.__traceback__)
            raise LoadError(describe(error)) from error
        finally:
            asyncio.set_event_loop(None)

    def _function(self) -> Function:
        target = find(self._settings.inference)
        loader = find(self._settings.loader) if self._settings.loader else None
        self._routes.tell(STARTING, "The model is being loaded.")
        batched = self._settings.batch_size is not None
        return Function(target, model.load(self._settings.model_path, loader), batched=batched)

    async def _warmed(self, function: Function) -> Calls:
        """Every warm-up request answered, without a deadline: the start of the component has one."""
        predictor = Predictor(function, LocalFiles(), self._readers)
        calls = self._new_calls(predictor)
        for number, body in enumerate(self._settings.warmup, 1):
            result = await self._warm(calls, function, body)
            if isinstance(result, Problem):
                reason = result.members.get("error") or f"{result.status} {result.detail}"
                raise LoadError(f"warm-up request {number}: {reason}")
        return self._new_calls(self._predictor(function))

    def _new_calls(self, predictor: Predictor) -> Calls:
        settings = self._settings
        if settings.batch_size is None:
            kind = Streams if predictor.function.yields else Calls
            return kind(self._loop, predictor, self._threads, settings.concurrency)
        size, delay = settings.batch_size, settings.batch_delay
        return Batches(self._loop, predictor, self._threads, settings.concurrency, size, delay)

    async def _warm(self, calls: Calls, function: Function, body: Any) -> Result:
        answered: asyncio.Future[Result] = self._loop.create_future()

        def answer(result: Result) -> None:
            if isinstance(result, Stream):
                result.attach(Drain(result, lambda problem: answered.set_result(problem or b"")))
            else:
                answered.set_result(result)

        call = Call(Context(f"warm-up-{uuid.uuid4().hex}"), FOREVER, answer)
        try:
            calls.admit(call, check(body, function.schema))
        except Problem as problem:
            return problem
        return await answered

    def _predictor(self, function: Function) -> Predictor:
        settings = self._settings
        files: BoxFiles | LocalFiles = LocalFiles()
        if settings.url is not None:
            files = BoxFiles(settings.url, settings.namespace, settings.boxes)
        return Predictor(function, files, self._readers)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    component = Component(settings, llhttp.fastest())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, component.stop)
    await component.run()


def _write_atomically(path: str, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), prefix=".mlmesh-")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.replace(temporary, path)
