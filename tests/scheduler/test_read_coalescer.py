"""Those who are woken together look together."""

from __future__ import annotations

import asyncio

from services.scheduler.read_coalescer import ReadCoalescer


async def test_who_comes_in_one_step_shares_a_look_and_who_comes_later_does_not() -> None:
    coalescer, gate = ReadCoalescer[int](), asyncio.Event()
    started: list[int] = []

    async def read() -> int:
        started.append(len(started))
        found = started[-1]
        await gate.wait()
        return found

    first = [asyncio.create_task(coalescer.run("a", read)) for _ in range(3)]
    other_key = asyncio.create_task(coalescer.run("b", read))
    await asyncio.sleep(0.01)
    later = asyncio.create_task(coalescer.run("a", read))
    await asyncio.sleep(0.01)
    gate.set()
    assert await asyncio.gather(*first) == [0, 0, 0]
    assert (await other_key, await later) == (1, 2)


async def test_one_who_leaves_takes_the_look_from_nobody() -> None:
    coalescer, gate = ReadCoalescer[str](), asyncio.Event()

    async def look() -> str:
        await gate.wait()
        return "found"

    leaving, staying = (asyncio.create_task(coalescer.run("a", look)) for _ in range(2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    gate.set()
    assert await staying == "found"
