"""Batching: which calls form a batch, results of each call, and no needless waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.component import functions
from tests.component.serving import Answer, Served, serving, until

pytestmark = pytest.mark.both_loops


@pytest.fixture(autouse=True)
def gate() -> Iterator[None]:
    functions.BATCHES.clear()
    functions.GATE.clear()
    yield
    functions.GATE.set()


def item(name: str, data: Any, datatype: str = "str") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "data": data}


async def gather_answers(served: Served, requests: list[asyncio.Task[Answer]]) -> list[Answer]:
    """Await responses; the first call blocks at the gate until the others are queued."""
    executor = served.component._executor
    assert executor is not None
    await until(lambda: len(executor.calls.waiting) == len(requests) - 1)
    functions.GATE.set()
    return [await request for request in requests]


async def first(served: Served, request: asyncio.Task[Answer]) -> asyncio.Task[Answer]:
    await until(lambda: len(functions.BATCHES) == 1)
    return request


def get_results(answers: list[Answer]) -> list[Any]:
    return [answer.json["outputs"][0]["data"] if answer.status == 200 else answer.status for answer in answers]


@pytest.mark.parametrize("function", ["shout", "shout_async"])
async def test_what_waits_while_a_batch_runs_is_the_next_one(function: str) -> None:
    async with serving(function, batch_size=4) as served:
        requests = [await first(served, asyncio.create_task(served.predict(item("text", "a"))))]
        requests += [asyncio.create_task(served.predict(item("text", text))) for text in "bcdefg"]
        answers = await gather_answers(served, requests)
    assert get_results(answers) == ["A", "B", "C", "D", "E", "F", "G"]
    assert functions.BATCHES == [1, 4, 2]


async def test_requests_of_one_batch_fail_separately() -> None:
    async with serving("shout", batch_size=8) as served:
        requests = [await first(served, asyncio.create_task(served.predict(item("text", "a"))))]
        wrong = served.predict(item("text", "b"), item("times", [0.5], "FP64"))
        for request in (
            served.predict(item("text", "bad")),
            served.predict(item("text", "c"), item("times", [2], "INT32")),
        ):
            requests.append(asyncio.create_task(request))
        assert (await wrong).status == 422  # refused before it waits
        answers = await gather_answers(served, requests)
    assert get_results(answers) == ["A", 500, "CC"]
    assert answers[1].json["error"] == "ValueError: no bad"
    assert functions.BATCHES == [1, 2]


async def test_a_function_that_is_told_who_calls_never_gets_two_callers_at_once() -> None:
    async with serving("list_callers", batch_size=8) as served:

        def send_as(caller: str) -> asyncio.Task[Answer]:
            return asyncio.create_task(served.ask("POST", "/predict", b'{"inputs": []}', X_Mlmesh_User=caller))

        requests = [await first(served, send_as("ann"))] + [send_as(caller) for caller in ("bob", "ann", "bob", "ann")]
        answers = await gather_answers(served, requests)
    assert sorted(functions.BATCHES) == [1, 2, 2]
    assert [answer.json["outputs"][0]["data"] for answer in answers] == [["ann"], ["bob"], ["ann"], ["bob"], ["ann"]]


@pytest.mark.parametrize(
    ("function", "error"),
    [("too_few", "With batching the function returns a list with a result for each of 1."), ("breaks", "all of it")],
)
async def test_a_call_that_answers_nobody_is_a_fault_for_all(function: str, error: str) -> None:
    async with serving(function, batch_size=4) as served:
        answer = await served.predict(item("text", "a"))
    assert answer.status == 500
    assert error in answer.body.decode()


async def test_a_batch_that_is_smaller_than_the_one_before_waits_for_more_and_no_longer_than_it_may() -> None:
    async with serving("shout", batch_size=4, batch_delay=0.2) as served:
        requests = [await first(served, asyncio.create_task(served.predict(item("text", "a"))))]
        requests += [asyncio.create_task(served.predict(item("text", text))) for text in "bcd"]
        await gather_answers(served, requests)
        late = [asyncio.create_task(served.predict(item("text", text))) for text in "ef"]
        assert get_results([await request for request in late]) == ["E", "F"]
        assert get_results([await served.predict(item("text", "g"))]) == ["G"]
    assert functions.BATCHES == [1, 3, 2, 1]


async def test_who_hangs_up_or_waits_too_long_is_not_called() -> None:
    async with serving("shout", batch_size=4, timeout=0.3) as served:
        held = await first(served, asyncio.create_task(served.predict(item("text", "a"))))
        late = await served.predict(item("text", "b"))
        assert (late.status, (await held).status) == (504, 504)
        functions.GATE.set()
        assert get_results([await served.predict(item("text", "c"))]) == ["C"]
    assert functions.BATCHES == [1, 1]
