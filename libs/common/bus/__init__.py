"""The message bus between services: `memory://` within one process, `amqp://` between processes.

A message is a hint: its consumer reads the database, which is the truth. The bus keeps no state of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from libs.common.messages import Message


@dataclass(frozen=True)
class Queue:
    """A queue and its binding keys. Consumers of one queue compete; an `exclusive` queue has a single consumer."""

    name: str
    keys: tuple[str, ...]
    exclusive: bool = False

    def accepts(self, key: str) -> bool:
        """Whether the bus routes a message with this key to the queue."""
        return any(matches_key(pattern, key) for pattern in self.keys)


def matches_key(pattern: str, key: str) -> bool:
    """Whether a topic exchange would route `key` to a queue bound with `pattern` (`*` one word, last `#` any rest)."""
    parts, words = pattern.split("."), key.split(".")
    if parts[-1] == "#":
        parts, words = parts[:-1], words[: len(parts) - 1]
    return len(parts) == len(words) and all(part in ("*", word) for part, word in zip(parts, words, strict=True))


@dataclass(frozen=True)
class DeadLetter:
    """A message that no consumer could process: its routing key, its body, and the reason."""

    key: str
    body: bytes
    reason: str


class Delivery(Protocol):
    @property
    def message(self) -> Message: ...
    @property
    def headers(self) -> dict[str, str]: ...
    async def ack(self) -> None: ...
    async def reject(self, reason: str) -> None:
        """Move the message to the dead letters with `reason`."""


class Consumer(Protocol):
    async def next(self) -> Delivery:
        """Wait for the next message, without a limit; reconnects by itself."""

    async def pause(self) -> None:
        """Stop fetching messages; `next` still returns those that were fetched before."""

    async def resume(self) -> None: ...


class Bus(Protocol):
    async def publish(self, message: Message) -> None:
        """Returns when a queue has stored it. Raises Unavailable without a broker, or without a queue for its key."""

    def consume(self, queue: Queue) -> AbstractAsyncContextManager[Consumer]: ...
    async def declare(self, queue: Queue) -> None:
        """Create the queue, so that it stores messages before the first consumer connects."""

    async def list_dead_letters(self) -> list[DeadLetter]:
        """The dead letters, which stay in their queue."""

    async def redrive(self, queue: Queue) -> int:
        """Publish the dead letters of this queue again. Returns their number."""

    async def ready(self) -> None:
        """Raises Unavailable unless the broker responds."""


@asynccontextmanager
async def open_bus(url: str) -> AsyncIterator[Bus]:
    """The bus at `url`. An unreachable broker is no error here: `publish` and `ready` raise, `next` waits."""
    if url.startswith("memory:"):
        from libs.common.bus.memory import MemoryBus

        yield MemoryBus()
        return
    if not url.startswith(("amqp://", "amqps://")):
        raise ValueError(f"MLMESH_BUS: {url.partition('://')[0]}:// is not supported; use memory:// or amqp://…")
    from libs.common.bus.rabbit.bus import RabbitBus

    async with RabbitBus(url) as bus:
        yield bus
