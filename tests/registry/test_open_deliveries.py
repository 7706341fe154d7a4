"""Deployments let webhooks go first, for a time."""

from __future__ import annotations

import asyncio

import pytest

from services.registry.open_deliveries import MAX_WAIT_S, OpenDeliveries

pytestmark = pytest.mark.virtual_time


async def test_without_open_deliveries_nothing_waits() -> None:
    started = asyncio.get_running_loop().time()
    await OpenDeliveries().wait_until_answered()
    assert asyncio.get_running_loop().time() == started


async def test_a_deployment_waits_for_the_last_of_them() -> None:
    deliveries, order = OpenDeliveries(), list[str]()

    async def answer(name: str, seconds: float) -> None:
        with deliveries.hold():
            await asyncio.sleep(seconds)
            order.append(name)

    async def deploy() -> None:
        await deliveries.wait_until_answered()
        order.append("deployment")

    async with asyncio.TaskGroup() as group:
        group.create_task(answer("first", 0.01))
        group.create_task(answer("second", 0.02))
        await asyncio.sleep(0)
        group.create_task(deploy())
    assert order == ["first", "second", "deployment"]


async def test_deliveries_that_follow_one_another_stop_no_deployment() -> None:
    deliveries = OpenDeliveries()
    with deliveries.hold():
        started = asyncio.get_running_loop().time()
        await deliveries.wait_until_answered()
    assert asyncio.get_running_loop().time() - started == pytest.approx(MAX_WAIT_S, abs=0.01)


async def test_a_delivery_that_fails_is_open_no_longer() -> None:
    deliveries = OpenDeliveries()
    with pytest.raises(ValueError, match="broken"), deliveries.hold():
        raise ValueError("broken")
    started = asyncio.get_running_loop().time()
    await deliveries.wait_until_answered()
    assert asyncio.get_running_loop().time() == started
