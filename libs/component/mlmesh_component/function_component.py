"""A component that is a function: its calls, and what they need."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Callable

from . import startup_message
from .api.routes import FAILED, STARTING, Routes
from .component_server import GRACE_SECONDS, Life, LoadError
from .function import model
from .function.batching_executor import Batches
from .function.box_files import BoxFiles
from .function.box_paths import Boxes
from .function.context import Context
from .function.executor import FOREVER, Call, Calls
from .function.function import Function, find
from .function.local_files import LocalFiles
from .function.predictor import Predictor, Result
from .function.schema import check
from .function.streaming_executor import Streams
from .http.connection import Parser
from .http.framing import Limits
from .http.response_stream import Drain, Stream
from .http.server import Server
from .problems import Problem
from .settings import Settings
from .thread_pool import Threads

READERS = 2
"""Threads that read large bodies, and move files for functions that run on the loop."""


class Component(Life):
    def __init__(self, settings: Settings, parser: Callable[[Limits], Parser]) -> None:
        super().__init__(settings)
        self._threads = Threads(settings.concurrency, "call")
        self._readers = Threads(READERS, "read")
        self._routes = Routes(settings, self.loop, self._readers)
        self._server = Server(self._routes, parser, Limits(settings.max_body))
        self._calls: Calls | None = None
        self._function: Function | None = None

    async def start(self) -> int:
        return await self._server.start(self.settings.host, self.settings.port)

    async def load(self) -> Function:
        """In a thread that later calls the function."""
        try:
            function: Function = await self.imported(self._threads, self._made)
            self._routes.tell(STARTING, "The warm-up requests are being answered.")
            calls = await self._warmed(function)
        except LoadError as error:
            self._routes.tell(FAILED, str(error))
            raise
        self._calls, self._function = calls, function
        self._routes.open(calls, function)
        return function

    async def close(self) -> None:
        self._routes.stop()
        self._server.stop_accepting()
        if self._calls is not None:
            await self._calls.drained(GRACE_SECONDS)
        await self._server.close()
        await self._readers.run(self._routes.close)

    def announcement(self) -> str:
        assert self._function is not None  # noqa: S101 - it is loaded
        return startup_message.announcement(self.settings, self._function.schema, self._server.port)

    def _made(self) -> Function:
        target = find(self.settings.inference)
        loader = find(self.settings.loader) if self.settings.loader else None
        self._routes.tell(STARTING, "The model is being loaded.")
        batched = self.settings.batch_size is not None
        return Function(target, model.load(self.settings.model_path, loader), batched=batched)

    async def _warmed(self, function: Function) -> Calls:
        """Every warm-up request answered, without a deadline: the start of the component has one."""
        predictor = Predictor(function, LocalFiles(keeps=False), self._readers)
        calls = self._new_calls(predictor)
        for number, body in enumerate(self.settings.warmup, 1):
            result = await self._warm(calls, function, body)
            if isinstance(result, Problem):
                reason = result.members.get("error") or f"{result.status} {result.detail}"
                raise LoadError(f"warm-up request {number}: {reason}")
        return self._new_calls(self._predictor(function))

    def _new_calls(self, predictor: Predictor) -> Calls:
        settings = self.settings
        if settings.batch_size is None:
            kind = Streams if predictor.function.yields else Calls
            return kind(self.loop, predictor, self._threads, settings.concurrency)
        size, delay = settings.batch_size, settings.batch_delay
        return Batches(self.loop, predictor, self._threads, settings.concurrency, size, delay)

    async def _warm(self, calls: Calls, function: Function, body: Any) -> Result:
        answered: asyncio.Future[Result] = self.loop.create_future()

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
        settings = self.settings
        files: BoxFiles | LocalFiles = LocalFiles()
        if settings.url is not None:
            boxes = Boxes(settings.boxes, settings.model_box, settings.other_boxes)
            files = BoxFiles(settings.url, settings.namespace, boxes)
        return Predictor(function, files, self._readers)
