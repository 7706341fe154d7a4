"""Composition of a component that is one function: server, routes, executor, model and files."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Callable

from . import startup_message
from .api.routes import FAILED, STARTING, Routes
from .component_server import GRACE_SECONDS, ComponentServer, LoadError
from .function import model
from .function.batching_executor import BatchingExecutor
from .function.box_files import BoxFiles
from .function.box_paths import Boxes
from .function.context import Context
from .function.executor import NO_DEADLINE, Executor, Invocation, SlotExecutor
from .function.function import Function, import_target
from .function.local_files import LocalFiles
from .function.predictor import Predictor, Result
from .function.runners import CallRunner, StreamRunner
from .function.schema import validate_request
from .http.connection import RequestParser
from .http.framing import Limits
from .http.response_stream import DiscardingSink, ResponseStream
from .http.server import HttpServer
from .problems import Problem
from .settings import Settings
from .thread_pool import ThreadPool

READER_THREADS = 2
"""Threads that parse large bodies, and transfer files for functions that run on the event loop."""


class FunctionComponent(ComponentServer):
    def __init__(self, settings: Settings, parser: Callable[[Limits], RequestParser]) -> None:
        super().__init__(settings)
        self._call_threads = ThreadPool(settings.concurrency, "call")
        self._reader_threads = ThreadPool(READER_THREADS, "read")
        self._routes = Routes(settings, self.loop, self._reader_threads)
        self._server = HttpServer(self._routes, parser, Limits(settings.max_body))
        self._executor: Executor | None = None
        self._function: Function | None = None

    async def start_listening(self) -> int:
        return await self._server.start_listening(self.settings.host, self.settings.port)

    async def load(self) -> Function:
        """Import and warm up in one of the threads that call the function later."""
        try:
            function: Function = await self.run_import(self._call_threads, self._load_function)
            self._routes.set_status(STARTING, "The warm-up requests are being answered.")
            executor = await self._warm_up(function)
        except LoadError as error:
            self._routes.set_status(FAILED, str(error))
            raise
        self._executor, self._function = executor, function
        self._routes.mark_ready(executor, function)
        return function

    async def close(self) -> None:
        self._routes.stop()
        self._server.stop_accepting()
        if self._executor is not None:
            await self._executor.calls.drain(GRACE_SECONDS)
        await self._server.close()
        await self._reader_threads.run(self._routes.close)

    def startup_message(self) -> str:
        assert self._function is not None  # noqa: S101 - it is loaded
        return startup_message.format_startup_message(self.settings, self._function.schema, self._server.port)

    def _load_function(self) -> Function:
        target = import_target(self.settings.inference)
        loader = import_target(self.settings.loader) if self.settings.loader else None
        self._routes.set_status(STARTING, "The model is being loaded.")
        batched = self.settings.batch_size is not None
        return Function(target, model.load_model(self.settings.model_path, loader), batched=batched)

    async def _warm_up(self, function: Function) -> Executor:
        """Run every warm-up request. They have no deadline: the platform limits the start of a component."""
        predictor = Predictor(function, LocalFiles(keep_results=False), self._reader_threads)
        executor = self._build_executor(predictor)
        for number, body in enumerate(self.settings.warmup, 1):
            result = await self._send_warm_up(executor, function, body)
            if isinstance(result, Problem):
                reason = result.members.get("error") or f"{result.status} {result.detail}"
                raise LoadError(f"warm-up request {number}: {reason}")
        return self._build_executor(self._build_predictor(function))

    def _build_executor(self, predictor: Predictor) -> Executor:
        settings = self.settings
        if settings.batch_size is None:
            runner_class = StreamRunner if predictor.function.is_generator else CallRunner
            runner = runner_class(self.loop, predictor, self._call_threads)
            return SlotExecutor(self.loop, runner.start, settings.concurrency)
        size, delay = settings.batch_size, settings.batch_delay
        return BatchingExecutor(self.loop, predictor, self._call_threads, settings.concurrency, size, delay)

    async def _send_warm_up(self, executor: Executor, function: Function, body: Any) -> Result:
        future: asyncio.Future[Result] = self.loop.create_future()

        def set_result(result: Result) -> None:
            if isinstance(result, ResponseStream):
                result.attach_sink(DiscardingSink(result, lambda problem: future.set_result(problem or b"")))
            else:
                future.set_result(result)

        invocation = Invocation(Context(f"warm-up-{uuid.uuid4().hex}"), NO_DEADLINE, set_result)
        try:
            executor.submit(invocation, validate_request(body, function.schema))
        except Problem as problem:
            return problem
        return await future

    def _build_predictor(self, function: Function) -> Predictor:
        settings = self.settings
        files: BoxFiles | LocalFiles = LocalFiles()
        if settings.url is not None:
            boxes = Boxes(settings.boxes, settings.model_box, settings.other_boxes)
            files = BoxFiles(settings.url, settings.namespace, boxes)
        return Predictor(function, files, self._reader_threads)
