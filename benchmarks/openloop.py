"""Callers who come at their own pace, however long the answers take; a connection for each that waits."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import uvloop

TICK_S = 0.005


@dataclass
class Seen:
    """Seconds of every answer, by status."""

    seconds: float = 0.0
    times: dict[int, list[float]] = field(default_factory=dict)
    lost: int = 0
    """Calls whose connection ended without an answer."""

    def rate(self, status: int) -> float:
        return len(self.times.get(status, ())) / self.seconds

    def p99_ms(self, status: int) -> float:
        times = sorted(self.times.get(status, [0.0]))
        return times[int(len(times) * 0.99)] * 1000

    @property
    def statuses(self) -> Counter[int]:
        return Counter({status: len(times) for status, times in self.times.items()})


class Caller(asyncio.Protocol):
    """One connection; answers are small, and have a length."""

    def __init__(self, seen: Seen, idle: list[Caller]) -> None:
        self._seen = seen
        self._idle = idle
        self._transport: asyncio.Transport | None = None
        self._began = 0.0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._seen.lost += bool(self._began)

    def call(self, request: bytes) -> bool:
        if self._transport is None:
            return False
        self._began = time.perf_counter()
        self._transport.write(request)
        return True

    def leave(self) -> None:
        self._began = 0.0
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            status = int(head[9:12])
            self._seen.times.setdefault(status, []).append(time.perf_counter() - self._began)
            self._began, self._received = 0.0, b""
            self._idle.append(self)


def called(port: int, request: bytes, rate: float, seconds: float) -> Seen:
    """`rate` calls a second for so many seconds, and what became of them."""
    return uvloop.run(_called(port, request, rate, seconds))


async def _called(port: int, request: bytes, rate: float, seconds: float) -> Seen:
    loop, seen, idle, opened = asyncio.get_running_loop(), Seen(), list[Caller](), list[Caller]()
    began = time.perf_counter()
    sent = 0
    while (passed := time.perf_counter() - began) < seconds:
        while sent < rate * passed:
            caller = idle.pop() if idle else await _opened(loop, port, seen, idle, opened)
            sent += caller.call(request)
        await asyncio.sleep(TICK_S)
    seen.seconds = seconds
    for caller in opened:
        caller.leave()
    return seen


async def _opened(
    loop: asyncio.AbstractEventLoop, port: int, seen: Seen, idle: list[Caller], opened: list[Caller]
) -> Caller:
    _, caller = await loop.create_connection(lambda: Caller(seen, idle), "127.0.0.1", port)
    opened.append(caller)
    return caller
