"""Functions as developers write them, served by the tests."""

from __future__ import annotations

import asyncio
import dataclasses
import pathlib
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import numpy
from mlmesh_component.function.context import Context

GATE = threading.Event()
"""Blocks `slow` until a test sets it."""

SEEN: list[Context] = []


def add(inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Adds up numbers.

    :param inputs.x: what to add
    :type inputs.x: FP32 or FP64
    :param inputs.note: kept with the sum
    :type inputs.note: str, optional
    :param outputs.total: the sum
    :type outputs.total: FP64
    :param outputs.count: how many they were
    :type outputs.count: INT32
    """
    x = inputs[0]["data"]
    return {"total": sum(x), "count": len(x)}


def echo(inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return inputs


def hello(greeting: str = "Hello") -> dict[str, Any]:
    return {"text": f"{greeting} world"}


async def echo_async(inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    await asyncio.sleep(0)
    return inputs


def call_details(context: Context, parameters: list[Any], output_fields: list[str]) -> dict[str, Any]:
    return {
        "told": {
            "request_id": context.request_id,
            "caller": context.caller,
            "parameters": parameters,
            "output_fields": output_fields,
            "boxes": list(context.boxes),
            "in_time": 0 < context.remaining <= 30,
        }
    }


def greet(name: str, times: int = 1, tone: Literal["warm", "cold"] = "warm") -> dict[str, Any]:
    """Greets.

    :param name: whom
    """
    return {"text": f"{tone} {name}" * times, "times": times}


def raises(inputs: list[dict[str, Any]]) -> dict[str, Any]:
    raise ValueError("no such digit")


async def raises_async(inputs: list[dict[str, Any]]) -> dict[str, Any]:
    raise ValueError("no such digit")


def leaves(inputs: list[dict[str, Any]]) -> dict[str, Any]:
    sys.exit(3)


def slow(context: Context) -> dict[str, Any]:
    SEEN.append(context)
    GATE.wait(20)
    return {"done": True}


async def slow_async(context: Context) -> dict[str, Any]:
    SEEN.append(context)
    await asyncio.sleep(3600)
    return {}


def answer_of(inputs: list[dict[str, Any]]) -> Any:
    """Returns what the test asks for."""
    return WRONG[inputs[0]["data"]]


def with_model(model: Any, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"model": str(model)}


def lines(text: pathlib.Path) -> dict[str, Any]:
    return {"lines": len(text.read_text().splitlines()), "name": text.name}


def upper(inputs: list[dict[str, Any]], context: Context) -> list[dict[str, Any]]:
    """Returns a file for a file.

    :type inputs.text: FILE
    """
    source = pathlib.Path(inputs[0]["data"])
    result = context.folder / f"upper-{source.name}"
    result.write_text(source.read_text().upper())
    SEEN.append(context)
    return [{"name": "text", "datatype": "FILE", "data": str(result)}]


async def upper_async(inputs: list[dict[str, Any]], context: Context) -> list[dict[str, Any]]:
    return upper(inputs, context)


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


def load_shout(path: str) -> str:
    return pathlib.Path(path).read_text().upper()


def load_badly(path: str) -> str:
    raise RuntimeError(f"bad weights in {pathlib.Path(path).name}")


WRONG: dict[str, Any] = {
    "nothing": None,
    "number": 5,
    "no item": ["x"],
    "no name": [{"datatype": "str", "data": "x"}],
    "no datatype": [{"name": "x", "data": "x"}],
    "no data": [{"name": "x", "datatype": "str"}],
    "object": {"y": object()},
    "inside": {"y": {"deep": object()}},
    "none": {"y": None},
    "ragged": {"y": [[1], [2, 3]]},
    "key": {1: 2},
    "file": [{"name": "y", "datatype": "FILE", "data": "/nowhere/at/all"}],
}


BATCHES: list[int] = []
"""Sizes of the batches with which `shout` and similar functions were called."""


def shout(text: list[str], times: list[int] = 1) -> list[dict[str, Any] | Exception]:  # type: ignore[assignment]
    """The first batch waits at the gate."""
    BATCHES.append(len(text))
    if len(BATCHES) == 1:
        GATE.wait(15)
    calls = zip(text, times, strict=True)
    return [ValueError("no " + word) if word == "bad" else {"said": word.upper() * n} for word, n in calls]


async def shout_async(text: list[str]) -> list[dict[str, Any]]:
    BATCHES.append(len(text))
    while len(BATCHES) == 1 and not GATE.is_set():  # noqa: ASYNC110  the gate is the threads'
        await asyncio.sleep(0.001)
    return [{"said": word.upper()} for word in text]


def list_callers(context: list[Context], inputs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    BATCHES.append(len(context))
    if len(BATCHES) == 1:
        GATE.wait(15)
    return [{"callers": sorted({str(call.caller) for call in context})} for _ in inputs]


def too_few(text: list[str]) -> list[dict[str, Any]]:
    return []


def breaks(text: list[str]) -> list[dict[str, Any]]:
    raise ValueError("all of it")


CLOSED: list[str] = []
"""Generators that were closed."""


def count(to: int, fail_at: int = -1) -> Iterator[dict[str, Any]]:
    """Streams its answer.

    :param to: how far
    """
    try:
        for number in range(to):
            if number == fail_at:
                raise ValueError(f"no {number}")
            yield {"number": number}
    finally:
        CLOSED.append("count")


async def count_async(to: int, fail_at: int = -1) -> AsyncIterator[dict[str, Any]]:
    try:
        for number in range(to):
            if number == fail_at:
                raise ValueError(f"no {number}")
            yield {"number": number}
            await asyncio.sleep(0)
    finally:
        CLOSED.append("count_async")


def slowly() -> Iterator[dict[str, Any]]:
    """The second piece waits at the gate."""
    yield {"number": 1}
    GATE.wait(15)
    yield {"number": 2}


async def slowly_async() -> AsyncIterator[dict[str, Any]]:
    yield {"number": 1}
    while not GATE.is_set():  # noqa: ASYNC110  the gate is the threads'
        await asyncio.sleep(0.001)
    yield {"number": 2}


def flood(size: int) -> Iterator[dict[str, Any]]:
    """Much, and how much of it was asked for so far."""
    try:
        for _ in range(1000):
            BATCHES.append(size)
            yield {"text": "x" * size}
    finally:
        CLOSED.append("flood")


async def flood_async(size: int) -> AsyncIterator[dict[str, Any]]:
    try:
        for _ in range(1000):
            BATCHES.append(size)
            yield {"text": "x" * size}
    finally:
        CLOSED.append("flood_async")


def mean(image: numpy.ndarray[Any, Any], label: str) -> dict[str, Any]:
    return {"rows": image.mean(axis=0), "label": label + "!"}


def join_tags(tags: list[str]) -> dict[str, Any]:
    return {"text": ", ".join(tags)}


def joined_together(tags: list[list[str]]) -> list[dict[str, Any]]:
    return [join_tags(group) for group in tags]


async def size_async(content: bytes) -> dict[str, Any]:
    return {"size": len(content)}
