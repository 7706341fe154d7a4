"""The bus of one process. Carries encoded bytes, as every bus does; what waits in it ends with the process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from libs.common import log
from libs.common.bus import Consumer, Letter, Queue
from libs.common.errors import Unavailable
from libs.common.messages import Message, decode, encode


@dataclass(frozen=True)
class MemoryDelivery:
    message: Message
    headers: dict[str, str]
    key: str
    body: bytes
    letters: deque[Letter]

    async def ack(self) -> None:
        """Nothing is held for a message that was taken."""

    async def reject(self, reason: str) -> None:
        self.letters.append(Letter(self.key, self.body, reason))


@dataclass
class _Line:
    queue: Queue
    waiting: deque[tuple[str, bytes, dict[str, str]]] = field(default_factory=deque)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)


class MemoryConsumer:
    def __init__(self, line: _Line, letters: deque[Letter]) -> None:
        self._line = line
        self._letters = letters
        self._open = asyncio.Event()
        self._open.set()

    async def next(self) -> MemoryDelivery:
        while True:
            await self._open.wait()
            async with self._line.arrived:
                await self._line.arrived.wait_for(lambda: bool(self._line.waiting) or not self._open.is_set())
                if self._open.is_set():
                    key, body, headers = self._line.waiting.popleft()
                    return MemoryDelivery(decode(key, body), headers, key, body, self._letters)

    async def pause(self) -> None:
        self._open.clear()
        async with self._line.arrived:
            self._line.arrived.notify_all()

    async def resume(self) -> None:
        self._open.set()


class MemoryBus:
    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._letters: deque[Letter] = deque(maxlen=1000)

    async def publish(self, message: Message) -> None:
        lines = [line for line in self._lines.values() if line.queue.takes(message.key)]
        if not lines:
            raise Unavailable(f"no queue takes {message.key}")
        headers = {"traceparent": log.traceparent.get()} if log.traceparent.get() else {}
        for line in lines:
            async with line.arrived:
                line.waiting.append((message.key, encode(message), headers))
                line.arrived.notify()

    async def declare(self, queue: Queue) -> None:
        self._lines.setdefault(queue.name, _Line(queue))

    @asynccontextmanager
    async def consume(self, queue: Queue) -> AsyncIterator[Consumer]:
        await self.declare(queue)
        try:
            yield MemoryConsumer(self._lines[queue.name], self._letters)
        finally:
            if queue.exclusive:
                self._lines.pop(queue.name, None)

    async def dead(self) -> list[Letter]:
        return list(self._letters)

    async def redrive(self, queue: Queue) -> int:
        mine = [one for one in self._letters if queue.takes(one.key)]
        for letter in mine:
            self._letters.remove(letter)
            line = self._lines.setdefault(queue.name, _Line(queue))
            async with line.arrived:
                line.waiting.append((letter.key, letter.body, {}))
                line.arrived.notify()
        return len(mine)

    async def ready(self) -> None:
        """Always."""
