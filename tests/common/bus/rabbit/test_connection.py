"""What the client library makes of a cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from libs.common.bus.rabbit.connection import translate_errors
from libs.common.errors import Unavailable


@pytest.mark.parametrize("fault", [RuntimeError, TimeoutError, ConnectionError, asyncio.CancelledError])
async def test_a_cancelled_call_ends_whatever_the_library_makes_of_it(fault: type[BaseException]) -> None:
    begun = asyncio.Event()

    async def call() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise fault from error

    async def asking() -> None:
        async with translate_errors("cannot consume"):
            await call()

    task = asyncio.create_task(asking())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_fault_while_a_cancelled_task_cleans_up_is_a_fault() -> None:
    told: list[str] = []

    async def asking() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                async with translate_errors("cannot publish"):
                    raise OSError
            except Unavailable as error:
                told.append(error.detail)

    task = asyncio.create_task(asking())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert told == ["cannot publish: OSError"]


async def test_what_the_library_cancels_by_itself_is_a_fault() -> None:
    with pytest.raises(Unavailable, match="cannot consume: CancelledError"):
        async with translate_errors("cannot consume"):
            raise asyncio.CancelledError
