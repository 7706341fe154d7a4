"""One contract for every bus: in memory and on RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from libs.common.bus import Bus, Consumer, Queue, open_bus
from libs.common.errors import Unavailable
from libs.common.messages import FileChanged, TaskReady

TASKS = Queue("tasks.cpu", ("task.ready.v1.cpu",))
PATIENCE_S = 15.0


@pytest.fixture(params=["memory", "rabbit"])
def bus_url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://"
    url: str = request.getfixturevalue("rabbitmq_url")
    return url


@pytest.fixture
async def bus(bus_url: str) -> AsyncIterator[Bus]:
    async with open_bus(bus_url) as found:
        yield found


async def test_a_message_arrives_as_it_was_sent(bus: Bus) -> None:
    async with asyncio.timeout(PATIENCE_S), bus.consume(TASKS) as consumer:
        await bus.declare(TASKS)
        await bus.publish(TaskReady(task="t1"))
        delivery = await consumer.next()
        await delivery.ack()
    assert delivery.message == TaskReady(task="t1")


async def test_a_message_waits_in_a_declared_queue_for_its_first_consumer(bus: Bus) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await bus.declare(TASKS)
        await bus.publish(TaskReady(task="early"))
        async with bus.consume(TASKS) as consumer:
            delivery = await consumer.next()
            await delivery.ack()
    assert delivery.message == TaskReady(task="early")


async def test_a_message_that_no_queue_takes_is_an_error(bus: Bus) -> None:
    with pytest.raises(Unavailable, match="no queue accepts"):
        await bus.publish(FileChanged(app="a", box="b"))


async def test_consumers_of_one_queue_share_its_messages(bus: Bus) -> None:
    async with asyncio.timeout(PATIENCE_S), bus.consume(TASKS) as one, bus.consume(TASKS) as other:
        await bus.declare(TASKS)
        await bus.publish(TaskReady(task="1"))
        first = await one.next()
        await first.ack()
        await bus.publish(TaskReady(task="2"))
        second_one, second_other = asyncio.ensure_future(one.next()), asyncio.ensure_future(other.next())
        done, waiting = await asyncio.wait({second_one, second_other}, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result().message for task in done] == [TaskReady(task="2")]
        for task in done:
            await task.result().ack()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_paused_consumer_takes_nothing_and_goes_on_when_resumed(bus: Bus) -> None:
    async with asyncio.timeout(PATIENCE_S), bus.consume(TASKS) as consumer:
        await bus.declare(TASKS)
        await bus.publish(TaskReady(task="1"))
        await (await consumer.next()).ack()
        await consumer.pause()
        await bus.publish(TaskReady(task="2"))
        async with bus.consume(TASKS) as other:
            delivery = await other.next()
            await delivery.ack()
        assert delivery.message == TaskReady(task="2")
        await consumer.resume()
        await bus.publish(TaskReady(task="3"))
        delivery = await consumer.next()
        await delivery.ack()
    assert delivery.message == TaskReady(task="3")


async def test_a_rejected_message_does_not_come_back(bus: Bus) -> None:
    async with asyncio.timeout(PATIENCE_S), bus.consume(TASKS) as consumer:
        await bus.declare(TASKS)
        await bus.publish(TaskReady(task="bad"))
        await (await consumer.next()).reject("poisoned")
        await bus.publish(TaskReady(task="good"))
        delivery = await consumer.next()
        await delivery.ack()
    assert delivery.message == TaskReady(task="good")


async def test_a_rejected_message_is_listed_with_its_reason_and_can_be_sent_again(bus: Bus) -> None:
    async with asyncio.timeout(PATIENCE_S), bus.consume(TASKS) as consumer:
        await bus.declare(TASKS)
        await bus.redrive(TASKS)  # of other tests
        await drained(consumer)
        await bus.publish(TaskReady(task="bad"))
        await (await consumer.next()).reject("poisoned")
        for _again in range(2):  # looking changes nothing
            (letter,) = [one for one in await bus.list_dead_letters() if one.key == TaskReady(task="bad").key]
            assert (letter.reason, b'"bad"' in letter.body) == ("poisoned", True)
        assert await bus.redrive(Queue("scheduler.events", (FileChanged.tag,))) == 0
        assert await bus.redrive(TASKS) == 1
        delivery = await consumer.next()
        await delivery.ack()
        assert [one for one in await bus.list_dead_letters() if one.key == letter.key] == []
    assert delivery.message == TaskReady(task="bad")


async def drained(consumer: Consumer) -> None:
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.3):
                await (await consumer.next()).ack()


async def test_many_messages_published_at_once_all_arrive(bus: Bus) -> None:
    async with asyncio.timeout(PATIENCE_S), bus.consume(TASKS) as consumer:
        await bus.declare(TASKS)
        await asyncio.gather(*(bus.publish(TaskReady(task=str(number))) for number in range(100)))
        found = set()
        for _ in range(100):
            delivery = await consumer.next()
            await delivery.ack()
            assert isinstance(delivery.message, TaskReady)
            found.add(int(delivery.message.task))
    assert found == set(range(100))


async def test_a_ready_bus_says_nothing(bus: Bus) -> None:
    await bus.ready()


async def test_a_broker_that_is_not_there_is_unavailable_and_fails_nothing_else() -> None:
    async with open_bus("amqp://guest:guest@127.0.0.1:1/") as bus:
        with pytest.raises(Unavailable):
            await bus.publish(TaskReady(task="t"))
        with pytest.raises(Unavailable):
            await bus.ready()
