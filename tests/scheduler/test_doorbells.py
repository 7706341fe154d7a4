"""Doorbells that are rung at once: no more than the relay has counted, and none is lost with the broker."""

from __future__ import annotations

import asyncio

import pytest

from libs.common.bus import Queue
from libs.common.bus.memory import MemoryBus
from libs.common.errors import Unavailable
from libs.common.messages import Message, TaskReady
from services.scheduler.model.task import ReadyTask
from services.scheduler.tasks.dispatcher import MAX_DIRECT_DISPATCH, WINDOW_REFRESH_CLAIMS, TaskDispatcher, task_queue

ONE, TWO, OTHER = ReadyTask("t_1", "cpu"), ReadyTask("t_2", "cpu"), ReadyTask("t_3", "gpu")


class Broker(MemoryBus):
    away = False

    async def declare(self, queue: Queue) -> None:
        if self.away:
            raise Unavailable("the broker is away")
        await super().declare(queue)

    async def publish(self, message: Message) -> None:
        if self.away:
            raise Unavailable("the broker is away")
        await super().publish(message)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def asked() -> list[str]:
    """The looks that the relay was asked for."""
    return []


@pytest.fixture
def doorbells(broker: Broker, asked: list[str]) -> TaskDispatcher:
    return TaskDispatcher(broker, lambda: asked.append("look"))


async def heard(broker: Broker, number: int, resource_class: str = "cpu") -> list[str]:
    found = []
    async with broker.consume(task_queue(resource_class)) as line, asyncio.timeout(5):
        for _ in range(number):
            delivery = await line.next()
            assert isinstance(delivery.message, TaskReady)
            found.append(delivery.message.task)
            await delivery.ack()
    return found


async def test_none_is_taken_before_the_relay_has_counted(doorbells: TaskDispatcher, asked: list[str]) -> None:
    assert doorbells.reserve([ONE]) == ()
    assert asked == ["look"]


async def test_as_many_as_are_left_of_each_class(
    doorbells: TaskDispatcher, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    doorbells.refill({"cpu": 1, "gpu": 0})
    assert doorbells.reserve([ONE]) == (ONE,)
    assert doorbells.reserve([TWO, OTHER]) == ()
    assert asked == [], "a look would find what was counted a moment ago"
    monkeypatch.setattr("services.scheduler.tasks.dispatcher.WINDOW_REFRESH_S", 0.0)
    assert doorbells.reserve([TWO, OTHER]) == ()
    assert asked == ["look"]
    doorbells.refill({"cpu": -3, "gpu": 2})
    assert doorbells.reserve([TWO, OTHER]) == (OTHER,)
    assert doorbells.reserve([]) == ()


async def test_many_together_are_left_to_the_relay(doorbells: TaskDispatcher, asked: list[str]) -> None:
    doorbells.refill({"cpu": 1000})
    assert doorbells.reserve(ReadyTask(f"t_{n}", "cpu") for n in range(MAX_DIRECT_DISPATCH + 1)) == ()
    assert asked == ["look"]


async def test_what_is_rung_for_is_heard(doorbells: TaskDispatcher, broker: Broker) -> None:
    doorbells.publish_soon((ONE, TWO))
    assert sorted(await heard(broker, 2)) == ["t_1", "t_2"]


async def test_what_the_broker_does_not_take_is_rung_for_when_it_is_back(
    doorbells: TaskDispatcher, broker: Broker, asked: list[str]
) -> None:
    broker.away = True
    doorbells.publish_soon((ONE, OTHER))
    await asyncio.sleep(0.05)
    assert asked == ["look"]
    for _ in range(2):
        with pytest.raises(Unavailable):
            await doorbells.retry_failed()
    broker.away = False
    await doorbells.retry_failed()
    assert (await heard(broker, 1), await heard(broker, 1, "gpu")) == (["t_1"], ["t_3"])
    await doorbells.retry_failed()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await heard(broker, 1)


async def test_claims_ask_for_a_count_now_and_then(
    doorbells: TaskDispatcher, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduler.tasks.dispatcher.WINDOW_REFRESH_S", 3600.0)
    doorbells.refill({"cpu": 64})
    for _ in range(WINDOW_REFRESH_CLAIMS - 1):
        doorbells.on_claim()
    assert asked == []
    doorbells.on_claim()
    assert asked == ["look"]
    monkeypatch.setattr("services.scheduler.tasks.dispatcher.WINDOW_REFRESH_S", -1.0)
    doorbells.refill({"cpu": 64})
    doorbells.on_claim()
    assert asked == ["look", "look"]
