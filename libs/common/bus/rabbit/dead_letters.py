"""Dead letters: messages move to a queue of their own, from which an operator lists them and sends them again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from libs.common.bus import DeadLetter, Queue
from libs.common.bus.rabbit.connection import REPLY_TIMEOUT_S, RabbitConnection, translate_errors
from libs.common.bus.rabbit.topology import DEAD_LETTERS


async def move_to_dead_letters(connection: RabbitConnection, incoming: AbstractIncomingMessage, reason: str) -> None:
    """Moves a message to the dead letters; acknowledges it only after the broker has stored it there."""
    channel = await connection.channel()
    dead = await channel.get_exchange(DEAD_LETTERS, ensure=False)
    headers = {"x-mlmesh-reason": reason, "x-mlmesh-key": incoming.routing_key or ""}
    async with translate_errors("cannot dead-letter a message"):
        await dead.publish(aio_pika.Message(incoming.body, headers=dict(headers)), "", timeout=REPLY_TIMEOUT_S)
        await incoming.ack()


async def read_dead_letters(url: str, queue: Queue | None) -> AsyncIterator[DeadLetter]:
    """Reads each dead letter once: publishes it again if `queue` accepts it, else puts it back at the end.

    It does not return messages with `nack`: a quorum queue counts returns, and drops a message after twenty.
    """
    connection = RabbitConnection(url)
    try:
        channel, exchange = await connection.open()
        async with translate_errors("cannot read the dead letters"):
            letters = await channel.declare_queue(DEAD_LETTERS, passive=True)
            dead = await channel.get_exchange(DEAD_LETTERS, ensure=False)
            for _ in range(letters.declaration_result.message_count or 0):
                incoming = await letters.get(fail=False, timeout=REPLY_TIMEOUT_S)
                if incoming is None:
                    return
                letter = dead_letter_from(incoming)
                is_accepted = queue is not None and queue.accepts(letter.key)
                target, key = (exchange, letter.key) if is_accepted else (dead, "")
                out = aio_pika.Message(
                    incoming.body, headers=dict(incoming.headers), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
                )
                await target.publish(out, key, timeout=REPLY_TIMEOUT_S)
                await incoming.ack()
                yield letter
    finally:
        await connection.close()


def dead_letter_from(incoming: AbstractIncomingMessage) -> DeadLetter:
    """A dead letter has the reason of `move_to_dead_letters`, or the broker's in `x-death`."""
    headers = incoming.headers
    deaths: Any = headers.get("x-death") or [{}]
    keys = deaths[0].get("routing-keys") or [incoming.routing_key or ""]
    key, reason = headers.get("x-mlmesh-key", keys[0]), headers.get("x-mlmesh-reason", deaths[0].get("reason", ""))
    return DeadLetter(str(key), incoming.body, str(reason))
