"""Doorbells that are rung at once: no more than the relay has counted, and none is lost with the broker."""

from __future__ import annotations

import asyncio

import pytest

from libs.common.bus import Queue
from libs.common.bus.memory import MemoryBus
from libs.common.errors import Unavailable
from libs.common.messages import Message, TaskReady
from services.scheduler.model.state import Doorbell
from services.scheduler.tasks.dispatcher import CLAIMS, FEW, Doorbells, queue

ONE, TWO, OTHER = Doorbell("t_1", "cpu"), Doorbell("t_2", "cpu"), Doorbell("t_3", "gpu")


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
def doorbells(broker: Broker, asked: list[str]) -> Doorbells:
    return Doorbells(broker, lambda: asked.append("look"))


async def heard(broker: Broker, number: int, resource_class: str = "cpu") -> list[str]:
    found = []
    async with broker.consume(queue(resource_class)) as line, asyncio.timeout(5):
        for _ in range(number):
            delivery = await line.next()
            assert isinstance(delivery.message, TaskReady)
            found.append(delivery.message.task)
            await delivery.ack()
    return found


async def test_none_is_taken_before_the_relay_has_counted(doorbells: Doorbells, asked: list[str]) -> None:
    assert doorbells.take([ONE]) == ()
    assert asked == ["look"]


async def test_as_many_as_are_left_of_each_class(
    doorbells: Doorbells, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    doorbells.counted({"cpu": 1, "gpu": 0})
    assert doorbells.take([ONE]) == (ONE,)
    assert doorbells.take([TWO, OTHER]) == ()
    assert asked == [], "a look would find what was counted a moment ago"
    monkeypatch.setattr("services.scheduler.tasks.dispatcher.COUNT_AGAIN_S", 0.0)
    assert doorbells.take([TWO, OTHER]) == ()
    assert asked == ["look"]
    doorbells.counted({"cpu": -3, "gpu": 2})
    assert doorbells.take([TWO, OTHER]) == (OTHER,)
    assert doorbells.take([]) == ()


async def test_many_together_are_left_to_the_relay(doorbells: Doorbells, asked: list[str]) -> None:
    doorbells.counted({"cpu": 1000})
    assert doorbells.take(Doorbell(f"t_{n}", "cpu") for n in range(FEW + 1)) == ()
    assert asked == ["look"]


async def test_what_is_rung_for_is_heard(doorbells: Doorbells, broker: Broker) -> None:
    doorbells.ring((ONE, TWO))
    assert sorted(await heard(broker, 2)) == ["t_1", "t_2"]


async def test_what_the_broker_does_not_take_is_rung_for_when_it_is_back(
    doorbells: Doorbells, broker: Broker, asked: list[str]
) -> None:
    broker.away = True
    doorbells.ring((ONE, OTHER))
    await asyncio.sleep(0.05)
    assert asked == ["look"]
    for _ in range(2):
        with pytest.raises(Unavailable):
            await doorbells.ring_again()
    broker.away = False
    await doorbells.ring_again()
    assert (await heard(broker, 1), await heard(broker, 1, "gpu")) == (["t_1"], ["t_3"])
    await doorbells.ring_again()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await heard(broker, 1)


async def test_claims_ask_for_a_count_now_and_then(
    doorbells: Doorbells, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduler.tasks.dispatcher.COUNT_AGAIN_S", 3600.0)
    doorbells.counted({"cpu": 64})
    for _ in range(CLAIMS - 1):
        doorbells.claimed()
    assert asked == []
    doorbells.claimed()
    assert asked == ["look"]
    monkeypatch.setattr("services.scheduler.tasks.dispatcher.COUNT_AGAIN_S", -1.0)
    doorbells.counted({"cpu": 64})
    doorbells.claimed()
    assert asked == ["look", "look"]
