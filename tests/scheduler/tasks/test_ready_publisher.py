"""The task publisher: it publishes no more than the window has credits for, and retries what the broker rejects."""

from __future__ import annotations

import asyncio

import pytest

from libs.common.bus import Queue
from libs.common.bus.memory import MemoryBus
from libs.common.errors import Unavailable
from libs.common.messages import Message, TaskReady
from services.scheduler.model.task import ReadyTask
from services.scheduler.tasks.ready_publisher import (
    MAX_DIRECT_DISPATCH,
    WINDOW_REFRESH_CLAIMS,
    ReadyPublisher,
    task_queue,
)

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
def relay_wakes() -> list[str]:
    """One entry for each time that the relay is woken."""
    return []


@pytest.fixture
def publisher(broker: Broker, relay_wakes: list[str]) -> ReadyPublisher:
    return ReadyPublisher(broker, lambda: relay_wakes.append("woken"))


async def receive(broker: Broker, number: int, resource_class: str = "cpu") -> list[str]:
    received = []
    async with broker.consume(task_queue(resource_class)) as consumer, asyncio.timeout(5):
        for _ in range(number):
            delivery = await consumer.next()
            assert isinstance(delivery.message, TaskReady)
            received.append(delivery.message.task)
            await delivery.ack()
    return received


async def test_none_is_taken_before_the_relay_has_counted(publisher: ReadyPublisher, relay_wakes: list[str]) -> None:
    assert publisher.reserve([ONE]) == ()
    assert relay_wakes == ["woken"]


async def test_as_many_as_are_left_of_each_class(
    publisher: ReadyPublisher, relay_wakes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.refill({"cpu": 1, "gpu": 0})
    assert publisher.reserve([ONE]) == (ONE,)
    assert publisher.reserve([TWO, OTHER]) == ()
    assert relay_wakes == [], "the relay has counted a moment ago"
    monkeypatch.setattr("services.scheduler.tasks.ready_publisher.WINDOW_REFRESH_S", 0.0)
    assert publisher.reserve([TWO, OTHER]) == ()
    assert relay_wakes == ["woken"]
    publisher.refill({"cpu": -3, "gpu": 2})
    assert publisher.reserve([TWO, OTHER]) == (OTHER,)
    assert publisher.reserve([]) == ()


async def test_many_together_are_left_to_the_relay(publisher: ReadyPublisher, relay_wakes: list[str]) -> None:
    publisher.refill({"cpu": 1000})
    assert publisher.reserve(ReadyTask(f"t_{n}", "cpu") for n in range(MAX_DIRECT_DISPATCH + 1)) == ()
    assert relay_wakes == ["woken"]


async def test_what_is_rung_for_is_heard(publisher: ReadyPublisher, broker: Broker) -> None:
    publisher.publish_soon((ONE, TWO))
    assert sorted(await receive(broker, 2)) == ["t_1", "t_2"]


async def test_what_the_broker_does_not_take_is_rung_for_when_it_is_back(
    publisher: ReadyPublisher, broker: Broker, relay_wakes: list[str]
) -> None:
    broker.away = True
    publisher.publish_soon((ONE, OTHER))
    await asyncio.sleep(0.05)
    assert relay_wakes == ["woken"]
    for _ in range(2):
        with pytest.raises(Unavailable):
            await publisher.retry_failed()
    broker.away = False
    await publisher.retry_failed()
    assert (await receive(broker, 1), await receive(broker, 1, "gpu")) == (["t_1"], ["t_3"])
    await publisher.retry_failed()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await receive(broker, 1)


async def test_claims_ask_for_a_count_now_and_then(
    publisher: ReadyPublisher, relay_wakes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduler.tasks.ready_publisher.WINDOW_REFRESH_S", 3600.0)
    publisher.refill({"cpu": 64})
    for _ in range(WINDOW_REFRESH_CLAIMS - 1):
        publisher.on_claim()
    assert relay_wakes == []
    publisher.on_claim()
    assert relay_wakes == ["woken"]
    monkeypatch.setattr("services.scheduler.tasks.ready_publisher.WINDOW_REFRESH_S", -1.0)
    publisher.refill({"cpu": 64})
    publisher.on_claim()
    assert relay_wakes == ["woken", "woken"]
