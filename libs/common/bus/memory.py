"""The bus of one process. Carries encoded bytes, as every bus does; what waits in it ends with the process."""

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
        """Nothing is held for a message that was taken."""

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
        lines = [line for line in self._queues.values() if line.queue.accepts(message.key)]
        if not lines:
            raise Unavailable(f"no queue takes {message.key}")
        headers = {"traceparent": log.traceparent.get()} if log.traceparent.get() else {}
        for line in lines:
            async with line.arrived:
                line.messages.append((message.key, encode_message(message), headers))
                line.arrived.notify()

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
        mine = [one for one in self._dead_letters if queue.accepts(one.key)]
        for letter in mine:
            self._dead_letters.remove(letter)
            line = self._queues.setdefault(queue.name, _MemoryQueue(queue))
            async with line.arrived:
                line.messages.append((letter.key, letter.body, {}))
                line.arrived.notify()
        return len(mine)

    async def ready(self) -> None:
        """Always."""
