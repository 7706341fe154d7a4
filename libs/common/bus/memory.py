"""The in-process bus. It transports encoded bytes, as every bus does; its messages are lost when the process ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from libs.common import log
from libs.common.bus import Consumer, DeadLetter, Queue
from libs.common.errors import Unavailable
from libs.common.messages import Message, decode_message, encode_message


@dataclass(frozen=True)
class MemoryDelivery:
    message: Message
    headers: dict[str, str]
    key: str
    body: bytes
    dead_letters: deque[DeadLetter]

    async def ack(self) -> None:
        """No-op: `next` has removed the message."""

    async def reject(self, reason: str) -> None:
        self.dead_letters.append(DeadLetter(self.key, self.body, reason))


@dataclass
class _MemoryQueue:
    queue: Queue
    messages: deque[tuple[str, bytes, dict[str, str]]] = field(default_factory=deque)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)


class MemoryConsumer:
    def __init__(self, queue: _MemoryQueue, dead_letters: deque[DeadLetter]) -> None:
        self._queue = queue
        self._dead_letters = dead_letters
        self._resumed = asyncio.Event()
        self._resumed.set()

    async def next(self) -> MemoryDelivery:
        while True:
            await self._resumed.wait()
            async with self._queue.arrived:
                await self._queue.arrived.wait_for(lambda: bool(self._queue.messages) or not self._resumed.is_set())
                if self._resumed.is_set():
                    key, body, headers = self._queue.messages.popleft()
                    return MemoryDelivery(decode_message(key, body), headers, key, body, self._dead_letters)

    async def pause(self) -> None:
        self._resumed.clear()
        async with self._queue.arrived:
            self._queue.arrived.notify_all()

    async def resume(self) -> None:
        self._resumed.set()


class MemoryBus:
    def __init__(self) -> None:
        self._queues: dict[str, _MemoryQueue] = {}
        self._dead_letters: deque[DeadLetter] = deque(maxlen=1000)

    async def publish(self, message: Message) -> None:
        queues = [queue for queue in self._queues.values() if queue.queue.accepts(message.key)]
        if not queues:
            raise Unavailable(f"no queue accepts {message.key}")
        headers = {"traceparent": log.traceparent.get()} if log.traceparent.get() else {}
        for queue in queues:
            async with queue.arrived:
                queue.messages.append((message.key, encode_message(message), headers))
                queue.arrived.notify()

    async def declare(self, queue: Queue) -> None:
        self._queues.setdefault(queue.name, _MemoryQueue(queue))

    @asynccontextmanager
    async def consume(self, queue: Queue) -> AsyncIterator[Consumer]:
        await self.declare(queue)
        try:
            yield MemoryConsumer(self._queues[queue.name], self._dead_letters)
        finally:
            if queue.exclusive:
                self._queues.pop(queue.name, None)

    async def list_dead_letters(self) -> list[DeadLetter]:
        return list(self._dead_letters)

    async def redrive(self, queue: Queue) -> int:
        letters = [letter for letter in self._dead_letters if queue.accepts(letter.key)]
        for letter in letters:
            self._dead_letters.remove(letter)
            target = self._queues.setdefault(queue.name, _MemoryQueue(queue))
            async with target.arrived:
                target.messages.append((letter.key, letter.body, {}))
                target.arrived.notify()
        return len(letters)

    async def ready(self) -> None:
        """Never raises."""
