"""The bus of one process. Carries encoded bytes, as every bus does; what waits in it ends with the process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from libs.common import log
from libs.common.bus import Consumer, Queue
from libs.common.errors import Unavailable
from libs.common.messages import Message, decode, encode


def binds(pattern: str, key: str) -> bool:
    """Whether a topic exchange would route `key` to a queue bound with `pattern` (`*` one word, last `#` any rest)."""
    wanted, words = pattern.split("."), key.split(".")
    if wanted[-1] == "#":
        wanted, words = wanted[:-1], words[: len(wanted) - 1]
    return len(wanted) == len(words) and all(want in ("*", word) for want, word in zip(wanted, words, strict=True))


@dataclass(frozen=True)
class MemoryDelivery:
    message: Message
    headers: dict[str, str]
    body: bytes
    dead: deque[tuple[bytes, str]]

    async def ack(self) -> None:
        """Nothing is held for a message that was taken."""

    async def reject(self, reason: str) -> None:
        self.dead.append((self.body, reason))


@dataclass
class _Line:
    queue: Queue
    waiting: deque[tuple[str, bytes, dict[str, str]]] = field(default_factory=deque)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)


class MemoryConsumer:
    def __init__(self, line: _Line, dead: deque[tuple[bytes, str]]) -> None:
        self._line = line
        self._dead = dead
        self._open = asyncio.Event()
        self._open.set()

    async def next(self) -> MemoryDelivery:
        while True:
            await self._open.wait()
            async with self._line.arrived:
                await self._line.arrived.wait_for(lambda: bool(self._line.waiting) or not self._open.is_set())
                if self._open.is_set():
                    key, body, headers = self._line.waiting.popleft()
                    return MemoryDelivery(decode(key, body), headers, body, self._dead)

    async def pause(self) -> None:
        self._open.clear()
        async with self._line.arrived:
            self._line.arrived.notify_all()

    async def resume(self) -> None:
        self._open.set()


class MemoryBus:
    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self.dead: deque[tuple[bytes, str]] = deque(maxlen=1000)
        """Rejected messages with their reasons, newest last."""

    async def publish(self, message: Message) -> None:
        lines = [line for line in self._lines.values() if any(binds(key, message.key) for key in line.queue.keys)]
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
            yield MemoryConsumer(self._lines[queue.name], self.dead)
        finally:
            if queue.exclusive:
                self._lines.pop(queue.name, None)

    async def ready(self) -> None:
        """Always."""
