"""A consumer of one queue, and the messages that it delivers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aio_pika.abc import AbstractIncomingMessage, AbstractQueue

from libs.common import log
from libs.common.bus import Queue
from libs.common.bus.rabbit.connection import REPLY_TIMEOUT_S, RabbitConnection, translate_errors
from libs.common.bus.rabbit.dead_letters import move_to_dead_letters
from libs.common.bus.rabbit.topology import declare_queue
from libs.common.errors import Malformed, Unavailable
from libs.common.messages import Message, decode_message

RECONNECT_S = 1.0


@dataclass(frozen=True)
class RabbitDelivery:
    message: Message
    headers: dict[str, str]
    incoming: AbstractIncomingMessage
    publisher: RabbitConnection
    """Moves a rejected message to the dead letters."""

    async def ack(self) -> None:
        """A lost connection is no error: the broker redelivers the message."""
        try:
            async with translate_errors("cannot acknowledge"):
                await self.incoming.ack()
        except Unavailable:
            log.get("bus").debug(
                "Message not acknowledged; the broker will redeliver it", key=self.incoming.routing_key
            )

    async def reject(self, reason: str) -> None:
        await move_to_dead_letters(self.publisher, self.incoming, reason)


class RabbitConsumer:
    def __init__(self, connection: RabbitConnection, publisher: RabbitConnection, queue: Queue) -> None:
        self._connection = connection
        self._publisher = publisher
        self._queue = queue
        self._arrived: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._consuming: tuple[AbstractQueue, str] | None = None
        self._log = log.get("bus")

    async def next(self) -> RabbitDelivery:
        while True:
            try:
                await self._start_consuming()
            except Unavailable as error:
                self._log.warning("Consumer is waiting for the broker", queue=self._queue.name, why=error.detail)
                await asyncio.sleep(RECONNECT_S)
                continue
            incoming = await self._arrived.get()
            if incoming is None:
                self._consuming = None
                continue
            try:
                message = decode_message(incoming.routing_key or "", incoming.body)
            except Malformed as error:
                await move_to_dead_letters(self._publisher, incoming, error.detail)
                continue
            return RabbitDelivery(message, {k: str(v) for k, v in incoming.headers.items()}, incoming, self._publisher)

    async def _start_consuming(self) -> None:
        if self._consuming is not None or not self._arrived.empty():
            return
        await self._resumed.wait()
        channel, exchange = await self._connection.open()
        async with translate_errors("cannot consume"), asyncio.timeout(REPLY_TIMEOUT_S):
            queue = await declare_queue(channel, exchange, self._queue)
            channel.close_callbacks.add(self._on_channel_closed)
            self._consuming = queue, await queue.consume(self._arrived.put)

    def _on_channel_closed(self, *_why: object) -> None:
        self._arrived.put_nowait(None)

    async def pause(self) -> None:
        self._resumed.clear()
        consuming, self._consuming = self._consuming, None
        if consuming is None:
            return
        queue, tag = consuming
        try:
            async with translate_errors("cannot pause"), asyncio.timeout(REPLY_TIMEOUT_S):
                await queue.cancel(tag)
        except Unavailable:
            await self._connection.close()

    async def resume(self) -> None:
        self._resumed.set()
        if self._consuming is None:
            self._arrived.put_nowait(None)
