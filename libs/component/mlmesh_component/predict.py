"""One predict call from its checked inputs to the bytes of its answer: files in, function, outputs, files out."""

from __future__ import annotations

import dataclasses
import sys
import traceback
import uuid
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Protocol, Union

from .context import Context
from .function import Function
from .items import Item
from .outputs import outputs, select
from .problems import FunctionRaised, Problem, WrongOutput
from .schema import Inputs
from .stream import Stream

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
            arguments = self.function.arguments(self._fetched(inputs, context), context)
            try:
                result = self.function.target(**arguments)
            except BaseException as error:
                raise _raised(error, context) from error
            return self._answer(self._outputs(result, inputs), inputs, context)
        finally:
            context.close()

    async def perform_async(self, inputs: Inputs, context: Context) -> bytes:
        """On the loop, for an `async def`; only files go through a thread."""
        try:
            if inputs.files:
                inputs = await self._aside.run(lambda: self._fetched(inputs, context))
            arguments = self.function.arguments(inputs, context)
            try:
                result = await self.function.target(**arguments)
            except (Exception, SystemExit) as error:
                raise _raised(error, context) from error
            found = self._outputs(result, inputs)
            if _names_files(found):
                answer: bytes = await self._aside.run(lambda: self._answer(found, inputs, context))
                return answer
            return inputs.encode(found)
        finally:
            context.close()

    def pieces(self, inputs: Inputs, context: Context) -> Generator[bytes, None, None]:
        """In a thread, for a generator: the answer's document for each value that it yields."""
        try:
            arguments = self.function.arguments(self._fetched(inputs, context), context)
            with closing(self.function.target(**arguments)) as values:
                while True:
                    try:
                        value = next(values)
                    except StopIteration:
                        return
                    except BaseException as error:
                        raise _raised(error, context) from error
                    yield self._answer(self._outputs(value, inputs), inputs, context)
        finally:
            context.close()

    async def pieces_async(self, inputs: Inputs, context: Context) -> AsyncGenerator[bytes, None]:
        """On the loop, for an asynchronous generator; only files go through a thread."""
        try:
            if inputs.files:
                inputs = await self._aside.run(lambda: self._fetched(inputs, context))
            values = self.function.target(**self.function.arguments(inputs, context))
            try:
                while True:
                    try:
                        value = await values.__anext__()
                    except StopAsyncIteration:
                        return
                    except (Exception, SystemExit) as error:
                        raise _raised(error, context) from error
                    found = self._outputs(value, inputs)
                    if _names_files(found):
                        yield await self._aside.run(partial(self._answer, found, inputs, context))
                    else:
                        yield inputs.encode(found)
            finally:
                await values.aclose()
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
                    found = _raised(error, ready[0].context)
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
                except (Exception, SystemExit) as error:  # noqa: BLE001
                    found = _raised(error, ready[0].context)
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
                arguments = self.function.arguments(self._fetched(inputs, context), context)
            except Problem as problem:
                results[index] = problem
            else:
                ready.append(Ready(index, inputs, context, arguments))
        return ready, results

    def _finish(self, ready: Sequence[Ready], found: Any, results: dict[int, Result]) -> None:
        if not isinstance(found, Problem) and not (isinstance(found, (list, tuple)) and len(found) == len(ready)):
            found = WrongOutput(f"With batching the function returns a list with a result for each of {len(ready)}.")
        for place, one in enumerate(ready):
            results[one.index] = found if isinstance(found, Problem) else self._answered(one, found[place])

    def _answered(self, one: Ready, found: Any) -> Result:
        try:
            if isinstance(found, BaseException):
                return _raised(found, one.context)
            return self._answer(self._outputs(found, one.inputs), one.inputs, one.context)
        except Problem as problem:
            return problem

    def _fetched(self, inputs: Inputs, context: Context) -> Inputs:
        if not inputs.files:
            return inputs
        items = self._files.fetch(inputs.items, context)
        return dataclasses.replace(inputs, items=items)

    def _outputs(self, result: Any, inputs: Inputs) -> list[Item]:
        schema = self.function.schema
        return select(outputs(result, schema), inputs.output_fields, schema)

    def _answer(self, found: list[Item], inputs: Inputs, context: Context) -> bytes:
        return inputs.encode(self._files.store(found, context) if _names_files(found) else found)


def _close(asked: Sequence[tuple[Inputs, Context]]) -> None:
    for _, context in asked:
        context.close()


def _names_files(found: list[Item]) -> bool:
    return any(item["datatype"] == "FILE" for item in found)


def _raised(error: BaseException, context: Context) -> Problem:
    return FunctionRaised(error=describe(error), error_id=logged(error, context.request_id))


def logged(error: BaseException, request_id: str) -> str:
    """The traceback goes to stderr, without the step that is ours, under the error id that is returned."""
    error_id = uuid.uuid4().hex
    own = error.__traceback__.tb_next if error.__traceback__ is not None else None
    trace = "".join(traceback.format_exception(type(error), error, own or error.__traceback__))
    sys.stderr.write(f"mlmesh: error {error_id} (request {request_id})\n{trace}")
    sys.stderr.flush()
    return error_id


def describe(error: BaseException) -> str:
    """Type and message, as the last line of a traceback has them."""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    return f"{name}: {error}" if str(error) else name
