"""Exchanges and queues on the broker."""

from __future__ import annotations

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue

from libs.common.bus import Queue

EXCHANGE = "mlmesh"
DEAD_LETTERS = "mlmesh.dead"


async def declare_topology(channel: AbstractChannel) -> AbstractExchange:
    """Declares the exchange and the dead-letter queue."""
    exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
    dead = await channel.declare_exchange(DEAD_LETTERS, aio_pika.ExchangeType.FANOUT, durable=True)
    letters = await channel.declare_queue(DEAD_LETTERS, durable=True, arguments={"x-queue-type": "quorum"})
    await letters.bind(dead)
    return exchange


async def declare_queue(channel: AbstractChannel, exchange: AbstractExchange, queue: Queue) -> AbstractQueue:
    if queue.exclusive:
        declared = await channel.declare_queue(exclusive=True, auto_delete=True)
    else:
        arguments = {"x-queue-type": "quorum", "x-dead-letter-exchange": DEAD_LETTERS}
        declared = await channel.declare_queue(queue.name, durable=True, arguments=arguments)  # type: ignore[arg-type]  # invariant dict of a wider value type
    for key in queue.keys:
        await declared.bind(exchange, key)
    return declared
