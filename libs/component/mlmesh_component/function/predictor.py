"""Runs one prediction: fetches files, calls the function, builds outputs, stores files, encodes the response."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Protocol, Union

from ..exception_log import LoggedException, log_exception
from ..http.response_stream import ResponseStream
from ..problems import Problem, WrongOutput
from .context import Context
from .function import Function
from .items import Item
from .outputs import build_outputs, select_outputs
from .schema import Inputs

Result = Union[bytes, Problem, ResponseStream]


class FileStore(Protocol):
    def fetch(self, items: list[Item], context: Context) -> list[Item]: ...

    def store(self, outputs: list[Item], context: Context) -> list[Item]: ...


class ThreadRunner(Protocol):
    """Runs blocking work in a thread."""

    async def run(self, work: Callable[[], Any]) -> Any: ...


@dataclass(frozen=True)
class PreparedCall:
    """One valid request of a batch, with its arguments; `index` is its position in the batch."""

    index: int
    inputs: Inputs
    context: Context
    arguments: Mapping[str, Any]


class Predictor:
    """Calls the function and encodes its result; every error of the function becomes a `Problem`."""

    def __init__(self, function: Function, files: FileStore, threads: ThreadRunner) -> None:
        self.function = function
        self._files = files
        self._threads = threads

    def predict(self, inputs: Inputs, context: Context) -> bytes:
        """Call a plain function, in a thread."""
        try:
            arguments = self._build_arguments(self._fetch_files(inputs, context), context)
            try:
                result = self.function.target(**arguments)
            except BaseException as error:
                raise LoggedException(error, context).to_problem(context) from error
            return self._encode_answer(self._build_outputs(result, inputs, context), inputs, context)
        finally:
            context.close()

    async def predict_async(self, inputs: Inputs, context: Context) -> bytes:
        """Call an `async def` on the loop; only files use a thread."""
        try:
            arguments = await self._build_arguments_async(inputs, context)
            try:
                result = await self.function.target(**arguments)
            except BaseException as error:
                if _is_cancellation(error, context):
                    raise
                raise LoggedException(error, context).to_problem(context) from error
            outputs = self._build_outputs(result, inputs, context)
            if _has_files(outputs):
                body: bytes = await self._threads.run(lambda: self._encode_answer(outputs, inputs, context))
                return body
            return inputs.encode_outputs(outputs)
        finally:
            context.close()

    def stream(self, inputs: Inputs, context: Context) -> Generator[bytes, None, None]:
        """Run a generator, in a thread; yields an encoded document for each value."""
        try:
            values = self.function.target(**self._build_arguments(self._fetch_files(inputs, context), context))
            try:
                while True:
                    try:
                        value = next(values)
                    except StopIteration:
                        return
                    except BaseException as error:
                        raise LoggedException(error, context).to_problem(context) from error
                    yield self._encode_answer(self._build_outputs(value, inputs, context), inputs, context)
            finally:
                _close_generator(values, context)
        finally:
            context.close()

    async def stream_async(self, inputs: Inputs, context: Context) -> AsyncGenerator[bytes, None]:
        """Run an asynchronous generator on the loop; only files use a thread."""
        try:
            values = self.function.target(**await self._build_arguments_async(inputs, context))
            try:
                while True:
                    try:
                        value = await values.__anext__()
                    except StopAsyncIteration:
                        return
                    except BaseException as error:
                        if _is_cancellation(error, context):
                            raise
                        raise LoggedException(error, context).to_problem(context) from error
                    outputs = self._build_outputs(value, inputs, context)
                    if _has_files(outputs):
                        yield await self._threads.run(partial(self._encode_answer, outputs, inputs, context))
                    else:
                        yield inputs.encode_outputs(outputs)
            finally:
                await _close_generator_async(values, context)
        finally:
            context.close()

    def predict_batch(self, requests: Sequence[tuple[Inputs, Context]]) -> list[Result]:
        """Call the function once for several requests, in a thread; returns a result or problem for each, in order."""
        try:
            calls, results = self._prepare_calls(requests)
            if calls:
                try:
                    returned = self.function.target(
                        **self.function.build_batch_arguments([call.arguments for call in calls])
                    )
                except BaseException as error:  # noqa: BLE001 - the developer's code may raise anything
                    returned = LoggedException(error, calls[0].context)
                self._finish_batch(calls, returned, results)
            return [results[index] for index in range(len(requests))]
        finally:
            _close_contexts(requests)

    async def predict_batch_async(self, requests: Sequence[tuple[Inputs, Context]]) -> list[Result]:
        """The same for an `async def` on the loop; files use a thread."""
        try:
            calls, results = await self._threads.run(lambda: self._prepare_calls(requests))
            if calls:
                try:
                    returned = await self.function.target(
                        **self.function.build_batch_arguments([call.arguments for call in calls])
                    )
                except BaseException as error:
                    if _is_cancellation(error, *(call.context for call in calls)):
                        raise
                    returned = LoggedException(error, calls[0].context)
                await self._threads.run(lambda: self._finish_batch(calls, returned, results))
            return [results[index] for index in range(len(requests))]
        finally:
            _close_contexts(requests)

    def _prepare_calls(
        self, requests: Sequence[tuple[Inputs, Context]]
    ) -> tuple[list[PreparedCall], dict[int, Result]]:
        """Return the requests that can be called, and the problems of the others by index."""
        calls: list[PreparedCall] = []
        results: dict[int, Result] = {}
        for index, (inputs, context) in enumerate(requests):
            try:
                arguments = self._build_arguments(self._fetch_files(inputs, context), context)
            except Problem as problem:
                results[index] = problem
            else:
                calls.append(PreparedCall(index, inputs, context, arguments))
        return calls, results

    def _finish_batch(self, calls: Sequence[PreparedCall], returned: Any, results: dict[int, Result]) -> None:
        if not isinstance(returned, LoggedException) and not (
            isinstance(returned, (list, tuple)) and len(returned) == len(calls)
        ):
            problem = WrongOutput(f"With batching the function returns a list with a result for each of {len(calls)}.")
            results.update((call.index, problem) for call in calls)
            return
        for index, call in enumerate(calls):
            results[call.index] = self._build_result(
                call, returned if isinstance(returned, LoggedException) else returned[index]
            )

    def _build_result(self, call: PreparedCall, returned: Any) -> Result:
        if isinstance(returned, BaseException):
            returned = LoggedException(returned, call.context)
        if isinstance(returned, LoggedException):
            return returned.to_problem(call.context)
        try:
            return self._encode_answer(
                self._build_outputs(returned, call.inputs, call.context), call.inputs, call.context
            )
        except Problem as problem:
            return problem
        except BaseException as error:  # noqa: BLE001 - an error in one result must not fail the other calls of the batch
            return LoggedException(error, call.context).to_problem(call.context)

    def _fetch_files(self, inputs: Inputs, context: Context) -> Inputs:
        if not inputs.has_files:
            return inputs
        items = self._files.fetch(inputs.items, context)
        return dataclasses.replace(inputs, items=items)

    def _build_arguments(self, inputs: Inputs, context: Context) -> dict[str, Any]:
        """Build arguments; validators of the developer's models may raise anything."""
        try:
            return self.function.build_arguments(inputs, context)
        except Problem:
            raise
        except BaseException as error:
            raise LoggedException(error, context).to_problem(context) from error

    async def _build_arguments_async(self, inputs: Inputs, context: Context) -> Mapping[str, Any]:
        """The same on the loop; in a thread if files are fetched or read."""
        if not inputs.has_files:
            return self._build_arguments(inputs, context)
        arguments: Mapping[str, Any] = await self._threads.run(
            lambda: self._build_arguments(self._fetch_files(inputs, context), context)
        )
        return arguments

    def _build_outputs(self, returned: Any, inputs: Inputs, context: Context) -> list[Item]:
        """Build outputs; methods of returned objects may raise anything."""
        schema = self.function.schema
        try:
            return select_outputs(build_outputs(returned, schema), inputs.output_fields, schema)
        except Problem:
            raise
        except BaseException as error:
            raise LoggedException(error, context).to_problem(context) from error

    def _encode_answer(self, outputs: list[Item], inputs: Inputs, context: Context) -> bytes:
        return inputs.encode_outputs(self._files.store(outputs, context) if _has_files(outputs) else outputs)


def _close_contexts(requests: Sequence[tuple[Inputs, Context]]) -> None:
    for _, context in requests:
        context.close()


def _has_files(outputs: list[Item]) -> bool:
    return any(item["datatype"] == "FILE" for item in outputs)


def _close_generator(values: Generator[Any, None, None], context: Context) -> None:
    """Close the generator; an exception is only logged: the caller has disconnected or got another error."""
    try:
        values.close()
    except BaseException as error:  # noqa: BLE001 - the developer's code may raise anything
        log_exception(error, context.request_id)


async def _close_generator_async(values: AsyncGenerator[Any, None], context: Context) -> None:
    try:
        await values.aclose()
    except BaseException as error:
        if _is_cancellation(error, context):
            raise
        log_exception(error, context.request_id)


def _is_cancellation(error: BaseException, *contexts: Context) -> bool:
    """Whether the executor cancelled the task. A function may also raise these exceptions itself."""
    return isinstance(error, (asyncio.CancelledError, GeneratorExit)) and all(context.cancelled for context in contexts)
