"""The bus on RabbitMQ: one topic exchange, quorum queues, one dead-letter queue.

Uses only features of all versions from RabbitMQ 3.10 to 4.x. It connects on first use, and again after any fault.
aio-pika's "robust" mode is not used: consumers must notice a lost channel, publishers must fail immediately.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError, PublishError

from libs.common import log
from libs.common.bus import Consumer, DeadLetter, Queue
from libs.common.errors import Malformed, Unavailable
from libs.common.messages import Message, decode_message, encode_message

EXCHANGE = "mlmesh"
DEAD_LETTERS = "mlmesh.dead"
CONNECT_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 5.0
HEARTBEAT_S = 10
"""A paused broker is detected after about twice this time."""
RECONNECT_S = 1.0
PREFETCH = 1

FAULTS = (AMQPError, OSError, TimeoutError, RuntimeError, asyncio.CancelledError)
"""Errors that aio-pika raises for a lost broker. It also cancels its own futures (see `translate_errors`)."""


class _RabbitConnection:
    """One connection with one channel, opened again on demand."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None

    async def exchange(self) -> AbstractExchange:
        """Raises Unavailable."""
        return (await self.open())[1]

    async def channel(self) -> AbstractChannel:
        """Raises Unavailable."""
        return (await self.open())[0]

    async def open(self) -> tuple[AbstractChannel, AbstractExchange]:
        async with self._lock:
            if self._channel and self._exchange and not self._channel.is_closed:
                return self._channel, self._exchange
            await self._drop()
            async with translate_errors("cannot reach the message broker"):
                return await self._connect()

    async def _connect(self) -> tuple[AbstractChannel, AbstractExchange]:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            self._connection = await aio_pika.connect(self._url, timeout=CONNECT_TIMEOUT_S, heartbeat=HEARTBEAT_S)
            self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            await self._channel.set_qos(prefetch_count=PREFETCH)
            self._exchange = await declare_topology(self._channel)
        return self._channel, self._exchange

    async def close(self) -> None:
        async with self._lock:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection, self._channel, self._exchange = self._connection, None, None, None
        if connection is not None and not connection.is_closed:
            try:
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    await connection.close()
            except (AMQPError, OSError, TimeoutError, RuntimeError):
                log.get("bus").debug("Failed to close a broken connection")


@asynccontextmanager
async def translate_errors(what: str) -> AsyncIterator[None]:
    """Translates aio-pika's errors to Unavailable.

    A cancellation by aio-pika is such an error. A cancellation of this task, which aio-pika may turn into another
    error, remains a cancellation.
    """
    cancellations = _count_cancellations()
    try:
        yield
    except PublishError as error:
        raise Unavailable(f"{what}: no queue accepts it") from error
    except FAULTS as error:
        if _count_cancellations() > (0 if isinstance(error, asyncio.CancelledError) else cancellations):
            raise asyncio.CancelledError from error
        raise Unavailable(f"{what}: {type(error).__name__}") from error


def _count_cancellations() -> int:
    """Number of pending cancellation requests of this task."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


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


@dataclass(frozen=True)
class RabbitDelivery:
    message: Message
    headers: dict[str, str]
    incoming: AbstractIncomingMessage
    bus: RabbitBus

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
        await self.bus.dead_letter(self.incoming, reason)


class RabbitConsumer:
    def __init__(self, connection: _RabbitConnection, bus: RabbitBus, queue: Queue) -> None:
        self._connection = connection
        self._bus = bus
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
                await self._bus.dead_letter(incoming, error.detail)
                continue
            return RabbitDelivery(message, {k: str(v) for k, v in incoming.headers.items()}, incoming, self._bus)

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


def dead_letter_from(incoming: AbstractIncomingMessage) -> DeadLetter:
    """A dead letter has the reason of `dead_letter`, or the broker's in `x-death`."""
    headers = incoming.headers
    deaths: Any = headers.get("x-death") or [{}]
    keys = deaths[0].get("routing-keys") or [incoming.routing_key or ""]
    key, reason = headers.get("x-mlmesh-key", keys[0]), headers.get("x-mlmesh-reason", deaths[0].get("reason", ""))
    return DeadLetter(str(key), incoming.body, str(reason))


class RabbitBus:
    """Publishes over one connection; every consumer has a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = _RabbitConnection(url)

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

    async def dead_letter(self, incoming: AbstractIncomingMessage, reason: str) -> None:
        """Moves a message to the dead letters; acknowledges it only after the broker has stored it there."""
        channel = await self._connection.channel()
        dead = await channel.get_exchange(DEAD_LETTERS, ensure=False)
        headers = {"x-mlmesh-reason": reason, "x-mlmesh-key": incoming.routing_key or ""}
        async with translate_errors("cannot dead-letter a message"):
            await dead.publish(aio_pika.Message(incoming.body, headers=dict(headers)), "", timeout=REPLY_TIMEOUT_S)
            await incoming.ack()

    async def list_dead_letters(self) -> list[DeadLetter]:
        return [letter async for letter in self._read_dead_letters(None)]

    async def redrive(self, queue: Queue) -> int:
        await self.declare(queue)
        return len([letter async for letter in self._read_dead_letters(queue) if queue.accepts(letter.key)])

    async def _read_dead_letters(self, queue: Queue | None) -> AsyncIterator[DeadLetter]:
        """Reads each dead letter once: publishes it again if `queue` accepts it, else puts it back at the end.

        It does not return messages with `nack`: a quorum queue counts returns, and drops a message after twenty.
        """
        link = _RabbitConnection(self._url)
        try:
            channel, exchange = await link.open()
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
            await link.close()

    async def declare(self, queue: Queue) -> None:
        channel, exchange = await self._connection.open()
        async with translate_errors(f"cannot declare {queue.name}"), asyncio.timeout(REPLY_TIMEOUT_S):
            await declare_queue(channel, exchange, queue)

    @asynccontextmanager
    async def consume(self, queue: Queue) -> AsyncIterator[Consumer]:
        link = _RabbitConnection(self._url)
        try:
            yield RabbitConsumer(link, self, queue)
        finally:
            await link.close()

    async def ready(self) -> None:
        await self._connection.open()
