"""Timeouts of work that must show activity."""

from __future__ import annotations

import asyncio

import pytest

from libs.common.idle_timeout import IdleTimeout, limit_idle_time

pytestmark = pytest.mark.virtual_time


async def test_silence_ends_the_work() -> None:
    with pytest.raises(IdleTimeout):
        async with limit_idle_time(0.01):
            await asyncio.Event().wait()


async def test_activity_starts_the_timeout_again() -> None:
    async with limit_idle_time(0.5) as restart_timeout:
        for _ in range(4):
            await asyncio.sleep(0.2)
            restart_timeout()


async def test_another_timeout_remains_what_it_is() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), limit_idle_time(60.0):
            await asyncio.Event().wait()


async def test_without_a_limit_nothing_ends_the_work() -> None:
    async with limit_idle_time(None) as restart_timeout:
        restart_timeout()
