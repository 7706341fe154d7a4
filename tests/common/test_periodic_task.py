"""The loop: repeats, answers rings, outlives errors."""

from __future__ import annotations

import asyncio
import math

import pytest

from libs.common.errors import Unavailable
from libs.common.periodic_task import PeriodicTask

pytestmark = pytest.mark.virtual_time

PATIENCE_S = 5.0


async def test_a_ring_is_answered_without_waiting_for_the_interval() -> None:
    steps: asyncio.Queue[int] = asyncio.Queue()

    async def step() -> None:
        steps.put_nowait(1)

    loop = PeriodicTask("test", step, interval=3600.0)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(PATIENCE_S):
        await steps.get()
        loop.wake()
        await steps.get()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_step_that_fails_is_repeated() -> None:
    attempts: asyncio.Queue[int] = asyncio.Queue()

    async def step() -> None:
        attempts.put_nowait(1)
        if attempts.qsize() == 1:
            raise Unavailable("not yet")
        if attempts.qsize() == 2:
            raise RuntimeError("a defect")

    running = asyncio.create_task(PeriodicTask("test", step, interval=3600.0).run())
    async with asyncio.timeout(PATIENCE_S):
        while attempts.qsize() < 3:  # noqa: ASYNC110  what is awaited is the loop itself
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert attempts.qsize() == 3


async def test_a_ring_in_the_moment_of_the_stop_does_not_keep_it_going() -> None:
    steps: asyncio.Queue[int] = asyncio.Queue()

    async def step() -> None:
        steps.put_nowait(1)

    loop = PeriodicTask("test", step, interval=3600.0)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(PATIENCE_S):
        await steps.get()
        await asyncio.sleep(0.01)
        loop.wake()
        await asyncio.sleep(0)  # the wait is over, the loop has not gone on
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


async def test_a_step_can_be_hurried_by_itself_and_from_outside() -> None:
    steps: asyncio.Queue[int] = asyncio.Queue()

    async def step() -> None:
        steps.put_nowait(1)
        if steps.qsize() == 1:
            loop.run_within(0.01)

    loop = PeriodicTask("test", step, interval=3600.0)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(PATIENCE_S):
        while steps.qsize() < 2:  # noqa: ASYNC110  what is awaited is the loop itself
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert steps.qsize() == 2
        loop.run_within(0.0)
        loop.run_within(3600.0)  # no later than was said before
        while steps.qsize() < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert steps.qsize() == 3


async def test_a_task_without_an_interval_runs_at_the_start_and_when_it_is_told() -> None:
    clock = asyncio.get_running_loop().time
    began, runs = clock(), list[float]()

    async def step() -> None:
        runs.append(clock() - began)
        if len(runs) == 2:
            raise Unavailable("not yet")

    task = PeriodicTask("test", step, interval=math.inf)
    running = asyncio.create_task(task.run())
    await asyncio.sleep(7200.0)
    task.run_within(10.0)
    await asyncio.sleep(7200.0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [round(run) for run in runs] == [0, 7210, 7210]
