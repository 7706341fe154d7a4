"""The bus: doorbells from one service to another. `memory://` within one process, `amqp://` between processes.

A message is a hint: consumers look at the database's truth after it. Nothing here remembers what a message was about.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from libs.common.messages import Message


@dataclass(frozen=True)
class Queue:
    """A queue and the routing keys bound to it. Consumers of one compete; an `exclusive` one has a single consumer."""

    name: str
    keys: tuple[str, ...]
    exclusive: bool = False

    def accepts(self, key: str) -> bool:
        """Whether a message with this routing key comes into it."""
        return any(matches_key(pattern, key) for pattern in self.keys)


def matches_key(pattern: str, key: str) -> bool:
    """Whether a topic exchange would route `key` to a queue bound with `pattern` (`*` one word, last `#` any rest)."""
    wanted, words = pattern.split("."), key.split(".")
    if wanted[-1] == "#":
        wanted, words = wanted[:-1], words[: len(wanted) - 1]
    return len(wanted) == len(words) and all(want in ("*", word) for want, word in zip(wanted, words, strict=True))


@dataclass(frozen=True)
class DeadLetter:
    """A message that nobody could use: its routing key, its body, and why."""

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
        """Send it to the dead letters with `reason`."""


class Consumer(Protocol):
    async def next(self) -> Delivery:
        """The next message, however long it takes; reconnects by itself."""

    async def pause(self) -> None:
        """Stop taking messages off the queue; ones already taken are still given by `next`."""

    async def resume(self) -> None: ...


class Bus(Protocol):
    async def publish(self, message: Message) -> None:
        """Returns when a queue has it. Raises Unavailable when the broker is away or no queue takes it."""

    def consume(self, queue: Queue) -> AbstractAsyncContextManager[Consumer]: ...
    async def declare(self, queue: Queue) -> None:
        """Make the queue, so that messages wait in it before the first consumer comes."""

    async def list_dead_letters(self) -> list[DeadLetter]:
        """The dead letters, which stay where they are."""

    async def redrive(self, queue: Queue) -> int:
        """Send the dead letters of this queue once more. How many there were."""

    async def ready(self) -> None:
        """Raises Unavailable unless the broker answers."""


@asynccontextmanager
async def open_bus(url: str) -> AsyncIterator[Bus]:
    """The bus at `url`. An unreachable broker does not fail here: `publish` and `ready` say so, `next` waits."""
    if url.startswith("memory:"):
        from libs.common.bus.memory import MemoryBus

        yield MemoryBus()
        return
    if not url.startswith(("amqp://", "amqps://")):
        raise ValueError(f"MLMESH_BUS: {url.partition('://')[0]}:// is not known; use memory:// or amqp://…")
    from libs.common.bus.rabbit import RabbitBus

    async with RabbitBus(url) as bus:
        yield bus
