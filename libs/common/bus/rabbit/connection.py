"""One connection to the broker with one channel, opened on demand, and the translation of aio-pika's errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import AMQPError, PublishError

from libs.common import log
from libs.common.bus.rabbit.topology import declare_topology
from libs.common.errors import Unavailable

CONNECT_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 5.0
HEARTBEAT_S = 10
"""A paused broker is detected after about twice this time."""
PREFETCH = 1

FAULTS = (AMQPError, OSError, TimeoutError, RuntimeError, asyncio.CancelledError)
"""Errors that aio-pika raises for a lost broker. It also cancels its own futures (see `translate_errors`)."""


class RabbitConnection:
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
