"""The bus: publishes messages, opens consumers, and lists and redrives dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import aio_pika

from libs.common import log
from libs.common.bus import Consumer, DeadLetter, Queue
from libs.common.bus.rabbit.connection import REPLY_TIMEOUT_S, RabbitConnection, translate_errors
from libs.common.bus.rabbit.consumer import RabbitConsumer
from libs.common.bus.rabbit.dead_letters import read_dead_letters
from libs.common.bus.rabbit.topology import declare_queue
from libs.common.errors import Unavailable
from libs.common.messages import Message, encode_message


class RabbitBus:
    """Publishes over one connection; every consumer has a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = RabbitConnection(url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._connection.close()

    async def publish(self, message: Message) -> None:
        headers = {"traceparent": log.traceparent.get()} if log.traceparent.get() else {}
        await self._publish_bytes(message.key, encode_message(message), headers)

    async def _publish_bytes(self, key: str, body: bytes, headers: dict[str, str]) -> None:
        exchange = await self._connection.exchange()
        out = aio_pika.Message(body, headers=dict(headers), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        try:
            async with translate_errors(f"cannot publish {key}"):
                await exchange.publish(out, key, mandatory=True, timeout=REPLY_TIMEOUT_S)
        except Unavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                await self._connection.close()  # a paused broker: the next publisher opens a new connection
            raise

    async def list_dead_letters(self) -> list[DeadLetter]:
        return [letter async for letter in read_dead_letters(self._url, None)]

    async def redrive(self, queue: Queue) -> int:
        await self.declare(queue)
        return len([letter async for letter in read_dead_letters(self._url, queue) if queue.accepts(letter.key)])

    async def declare(self, queue: Queue) -> None:
        channel, exchange = await self._connection.open()
        async with translate_errors(f"cannot declare {queue.name}"), asyncio.timeout(REPLY_TIMEOUT_S):
            await declare_queue(channel, exchange, queue)

    @asynccontextmanager
    async def consume(self, queue: Queue) -> AsyncIterator[Consumer]:
        link = RabbitConnection(self._url)
        try:
            yield RabbitConsumer(link, self._connection, queue)
        finally:
            await link.close()

    async def ready(self) -> None:
        await self._connection.open()
