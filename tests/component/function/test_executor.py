"""The executor: slots, queue, deadlines and draining."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from mlmesh_component.api import dispatcher
from mlmesh_component.function.context import Context
from mlmesh_component.function.executor import NO_DEADLINE, Invocation
from mlmesh_component.function.predictor import Result
from mlmesh_component.function.schema import Inputs

from tests.component import functions
from tests.component.serving import Answer, Served, serving, until

EMPTY = b'{"inputs": []}'


@pytest.fixture(autouse=True)
def gate() -> Iterator[None]:
    functions.SEEN.clear()
    functions.GATE.clear()
    yield
    functions.GATE.set()


def call(served: Served, **headers: str) -> asyncio.Task[Answer]:
    return asyncio.create_task(served.ask("POST", "/predict", EMPTY, **headers))


async def waiting(served: Served, count: int) -> None:
    executor = served.component._executor
    assert executor is not None
    await until(lambda: len(executor.calls.waiting) == count)


async def test_no_more_calls_run_at_once_than_concurrency_says() -> None:
    async with serving("slow", concurrency=2) as served:
        tasks = [call(served) for _ in range(5)]
        await waiting(served, 3)
        await until(lambda: len(functions.SEEN) == 2)
        functions.GATE.set()
        assert [(await task).status for task in tasks] == [200] * 5
        assert len(functions.SEEN) == 5


async def test_beyond_the_queue_a_call_is_refused_and_may_go_elsewhere() -> None:
    async with serving("slow") as served:
        tasks = [call(served) for _ in range(13)]
        await waiting(served, 12)
        refused = await call(served)
        functions.GATE.set()
        assert [(await task).status for task in tasks] == [200] * 13
    assert refused.status == 429
    assert (refused.headers["retry-after"], refused.headers["x-mlmesh-not-started"]) == ("1", "1")


async def test_health_is_answered_while_all_slots_are_taken() -> None:
    async with serving("slow") as served:
        task = call(served)
        await until(lambda: bool(functions.SEEN))
        assert (await served.ask("GET", "/healthz")).status == 200
        assert (await served.ask("GET", "/readyz")).status == 200
        functions.GATE.set()
        assert (await task).status == 200


async def test_past_its_deadline_a_call_is_504_and_its_slot_is_taken_until_the_function_returns() -> None:
    async with serving("slow", timeout=0.05) as served:
        late = await call(served)
        assert (late.status, late.json["detail"]) == (504, "The function did not return in time.")
        assert "x-mlmesh-not-started" not in late.headers
        executor = served.component._executor
        assert executor is not None
        assert len(executor.calls.running) == 1
        assert functions.SEEN[0].cancelled
        second = await call(served)
        assert (second.status, second.json["detail"]) == (504, "The call waited in the queue until its deadline.")
        functions.GATE.set()
        await until(lambda: len(executor.calls.running) == 0)
        assert (await call(served)).status == 200
        assert len(functions.SEEN) == 2


@pytest.mark.parametrize("settings", [{}, {"batch_size": 4}])
async def test_a_component_whose_calls_all_hang_is_no_longer_ready(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "HUNG_AFTER_SECONDS", 0.05)
    async with serving("slow", timeout=0.05, **settings) as served:
        assert (await call(served)).status == 504
        await asyncio.sleep(0.1)
        stuck = await served.ask("GET", "/readyz")
        assert (stuck.status, stuck.json["status"]) == (503, "hung")
        functions.GATE.set()
        executor = served.component._executor
        assert executor is not None
        await until(lambda: len(executor.calls.running) == 0)
        assert (await served.ask("GET", "/readyz")).status == 200


async def test_what_is_left_of_the_callers_time_counts_when_it_is_less() -> None:
    async with serving("slow", timeout=30.0) as served:
        assert (await call(served, X_Request_Timeout="0.05")).status == 504
        functions.GATE.set()
        assert (await call(served, X_Request_Timeout="soon")).status == 200
        assert (await call(served, X_Request_Timeout="100")).status == 200
        assert functions.SEEN[-1].remaining <= 30


async def test_past_its_deadline_a_function_on_the_loop_is_cancelled() -> None:
    async with serving("slow_async", timeout=0.05) as served:
        assert (await call(served)).status == 504
        executor = served.component._executor
        assert executor is not None
        await until(lambda: len(executor.calls.running) == 0)


async def test_a_shorter_deadline_behind_a_longer_one_is_kept() -> None:
    async with serving("slow", timeout=30.0) as served:
        long = call(served)
        await until(lambda: bool(functions.SEEN))
        assert (await call(served, X_Request_Timeout="0.05")).status == 504
        functions.GATE.set()
        assert (await long).status == 200


async def test_a_call_whose_caller_went_while_it_waited_is_never_started() -> None:
    async with serving("slow") as served:
        first = call(served)
        await until(lambda: bool(functions.SEEN))
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n" + EMPTY)
        await waiting(served, 1)
        writer.close()
        await waiting(served, 0)
        functions.GATE.set()
        assert (await first).status == 200
    assert len(functions.SEEN) == 1


async def test_a_stop_lets_what_runs_end_and_refuses_what_is_new() -> None:
    async with serving("slow") as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b'{"status":"ok"}')
        running = call(served)
        await until(lambda: bool(functions.SEEN))
        stopping = asyncio.create_task(served.component.close())
        await until(lambda: served.component._routes._dispatcher.stopping)
        writer.write(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n" + EMPTY)
        refused = await reader.read()
        writer.close()
        assert refused.startswith(b"HTTP/1.1 503 ")
        for header in (b"retry-after: 1\r\n", b"x-mlmesh-not-started: 1\r\n", b"connection: close\r\n"):
            assert header in refused
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", served.port)
        assert not stopping.done()
        functions.GATE.set()
        answer = await running
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        await stopping


async def test_after_the_grace_what_still_runs_is_answered_as_cut_short() -> None:
    async with serving("slow") as served:
        running, queued = call(served), call(served)
        await waiting(served, 1)
        executor = served.component._executor
        assert executor is not None
        await executor.calls.drain(0.01)
        both = sorted([await running, await queued], key=lambda answer: "x-mlmesh-not-started" in answer.headers)
        assert [answer.status for answer in both] == [503, 503]
        assert [answer.headers.get("x-mlmesh-not-started") for answer in both] == [None, "1"]
        functions.GATE.set()
        await until(lambda: len(executor.calls.running) == 0)


async def test_a_caller_that_goes_before_the_function_has_begun_leaves_the_slot_free() -> None:
    async with serving("slow_async") as served:
        executor = served.component._executor
        assert executor is not None
        answers: list[Result] = []
        invocation = Invocation(Context("r1"), NO_DEADLINE, answers.append)
        executor.submit(invocation, Inputs([], [], (), False))
        executor.calls.cancel(invocation)
        await until(lambda: len(executor.calls.running) == 0)
    assert (answers, functions.SEEN) == ([], [])
