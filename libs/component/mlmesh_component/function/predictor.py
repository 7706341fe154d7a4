"""One predict call from its checked inputs to the bytes of its answer: files in, function, outputs, files out."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Protocol, Union

from ..exception_log import Raised, logged
from ..http.response_stream import Stream
from ..problems import Problem, WrongOutput
from .context import Context
from .function import Function
from .items import Item
from .outputs import outputs, select
from .schema import Inputs

Result = Union[bytes, Problem, Stream]


class Files(Protocol):
    def fetch(self, items: list[Item], context: Context) -> list[Item]: ...

    def store(self, outputs: list[Item], context: Context) -> list[Item]: ...


class Aside(Protocol):
    """Runs blocking work in a thread of its own."""

    async def run(self, work: Callable[[], Any]) -> Any: ...


@dataclass(frozen=True)
class Ready:
    """One request of a batch that can be called; `index` is its place among those that came."""

    index: int
    inputs: Inputs
    context: Context
    arguments: Mapping[str, Any]


class Predictor:
    """Calls the function and makes its answer; every fault of it is a `Problem`."""

    def __init__(self, function: Function, files: Files, aside: Aside) -> None:
        self.function = function
        self._files = files
        self._aside = aside

    def perform(self, inputs: Inputs, context: Context) -> bytes:
        """In a thread, for a plain function."""
        try:
            arguments = self._arguments(self._fetched(inputs, context), context)
            try:
                result = self.function.target(**arguments)
            except BaseException as error:
                raise Raised(error, context).problem(context) from error
            return self._answer(self._outputs(result, inputs, context), inputs, context)
        finally:
            context.close()

    async def perform_async(self, inputs: Inputs, context: Context) -> bytes:
        """On the loop, for an `async def`; only files go through a thread."""
        try:
            arguments = await self._arguments_async(inputs, context)
            try:
                result = await self.function.target(**arguments)
            except BaseException as error:
                if _is_told_to_end(error, context):
                    raise
                raise Raised(error, context).problem(context) from error
            found = self._outputs(result, inputs, context)
            if _names_files(found):
                answer: bytes = await self._aside.run(lambda: self._answer(found, inputs, context))
                return answer
            return inputs.encode(found)
        finally:
            context.close()

    def pieces(self, inputs: Inputs, context: Context) -> Generator[bytes, None, None]:
        """In a thread, for a generator: the answer's document for each value that it yields."""
        try:
            values = self.function.target(**self._arguments(self._fetched(inputs, context), context))
            try:
                while True:
                    try:
                        value = next(values)
                    except StopIteration:
                        return
                    except BaseException as error:
                        raise Raised(error, context).problem(context) from error
                    yield self._answer(self._outputs(value, inputs, context), inputs, context)
            finally:
                _close_values(values, context)
        finally:
            context.close()

    async def pieces_async(self, inputs: Inputs, context: Context) -> AsyncGenerator[bytes, None]:
        """On the loop, for an asynchronous generator; only files go through a thread."""
        try:
            values = self.function.target(**await self._arguments_async(inputs, context))
            try:
                while True:
                    try:
                        value = await values.__anext__()
                    except StopAsyncIteration:
                        return
                    except BaseException as error:
                        if _is_told_to_end(error, context):
                            raise
                        raise Raised(error, context).problem(context) from error
                    found = self._outputs(value, inputs, context)
                    if _names_files(found):
                        yield await self._aside.run(partial(self._answer, found, inputs, context))
                    else:
                        yield inputs.encode(found)
            finally:
                await _close_values_async(values, context)
        finally:
            context.close()

    def perform_together(self, asked: Sequence[tuple[Inputs, Context]]) -> list[Result]:
        """In a thread, several requests in one call; each gets its own answer or fault, in their order."""
        try:
            ready, results = self._prepared(asked)
            if ready:
                try:
                    found = self.function.target(**self.function.together([one.arguments for one in ready]))
                except BaseException as error:  # noqa: BLE001 - the developer's code may raise whatever it likes
                    found = Raised(error, ready[0].context)
                self._finish(ready, found, results)
            return [results[index] for index in range(len(asked))]
        finally:
            _close(asked)

    async def perform_together_async(self, asked: Sequence[tuple[Inputs, Context]]) -> list[Result]:
        """The same on the loop, for an `async def`; files go through a thread."""
        try:
            ready, results = await self._aside.run(lambda: self._prepared(asked))
            if ready:
                try:
                    found = await self.function.target(**self.function.together([one.arguments for one in ready]))
                except BaseException as error:
                    if _is_told_to_end(error, *(one.context for one in ready)):
                        raise
                    found = Raised(error, ready[0].context)
                await self._aside.run(lambda: self._finish(ready, found, results))
            return [results[index] for index in range(len(asked))]
        finally:
            _close(asked)

    def _prepared(self, asked: Sequence[tuple[Inputs, Context]]) -> tuple[list[Ready], dict[int, Result]]:
        """What can be called, and the faults of the rest by their index."""
        ready: list[Ready] = []
        results: dict[int, Result] = {}
        for index, (inputs, context) in enumerate(asked):
            try:
                arguments = self._arguments(self._fetched(inputs, context), context)
            except Problem as problem:
                results[index] = problem
            else:
                ready.append(Ready(index, inputs, context, arguments))
        return ready, results

    def _finish(self, ready: Sequence[Ready], found: Any, results: dict[int, Result]) -> None:
        if not isinstance(found, Raised) and not (isinstance(found, (list, tuple)) and len(found) == len(ready)):
            wrong = WrongOutput(f"With batching the function returns a list with a result for each of {len(ready)}.")
            results.update((one.index, wrong) for one in ready)
            return
        for place, one in enumerate(ready):
            results[one.index] = self._answered(one, found if isinstance(found, Raised) else found[place])

    def _answered(self, one: Ready, found: Any) -> Result:
        if isinstance(found, BaseException):
            found = Raised(found, one.context)
        if isinstance(found, Raised):
            return found.problem(one.context)
        try:
            return self._answer(self._outputs(found, one.inputs, one.context), one.inputs, one.context)
        except Problem as problem:
            return problem
        except BaseException as error:  # noqa: BLE001 - what was returned is the developer's: the others of the batch are not
            return Raised(error, one.context).problem(one.context)

    def _fetched(self, inputs: Inputs, context: Context) -> Inputs:
        if not inputs.files:
            return inputs
        items = self._files.fetch(inputs.items, context)
        return dataclasses.replace(inputs, items=items)

    def _arguments(self, inputs: Inputs, context: Context) -> dict[str, Any]:
        """Validators of the developer's models may raise, too."""
        try:
            return self.function.arguments(inputs, context)
        except Problem:
            raise
        except BaseException as error:
            raise Raised(error, context).problem(context) from error

    async def _arguments_async(self, inputs: Inputs, context: Context) -> Mapping[str, Any]:
        """What files hold may become a value, too."""
        if not inputs.files:
            return self._arguments(inputs, context)
        found: Mapping[str, Any] = await self._aside.run(
            lambda: self._arguments(self._fetched(inputs, context), context)
        )
        return found

    def _outputs(self, result: Any, inputs: Inputs, context: Context) -> list[Item]:
        """As may what makes plain values of them."""
        schema = self.function.schema
        try:
            return select(outputs(result, schema), inputs.output_fields, schema)
        except Problem:
            raise
        except BaseException as error:
            raise Raised(error, context).problem(context) from error

    def _answer(self, found: list[Item], inputs: Inputs, context: Context) -> bytes:
        return inputs.encode(self._files.store(found, context) if _names_files(found) else found)


def _close(asked: Sequence[tuple[Inputs, Context]]) -> None:
    for _, context in asked:
        context.close()


def _names_files(found: list[Item]) -> bool:
    return any(item["datatype"] == "FILE" for item in found)


def _close_values(values: Generator[Any, None, None], context: Context) -> None:
    """What a generator raises at its end is logged: its caller has left, or has been told of another fault."""
    try:
        values.close()
    except BaseException as error:  # noqa: BLE001 - the developer's code may raise whatever it likes
        logged(error, context.request_id)


async def _close_values_async(values: AsyncGenerator[Any, None], context: Context) -> None:
    try:
        await values.aclose()
    except BaseException as error:
        if _is_told_to_end(error, context):
            raise
        logged(error, context.request_id)


def _is_told_to_end(error: BaseException, *contexts: Context) -> bool:
    """Whether the task was cancelled by us: nobody waits any more. A function may raise the same by itself."""
    return isinstance(error, (asyncio.CancelledError, GeneratorExit)) and all(one.cancelled for one in contexts)
