"""Logs kept as files: chunk after chunk, each named by the offset of its first byte.

<app>/.internal/logs/<name>/<offset, 16 digits>      at most 64 KB each
<app>/.internal/logs/<name>/end                      when no more will come
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from libs.common.errors import Conflict, Unavailable
from libs.common.store_keys import area_root
from services.databox.store import Stat, Store

CHUNK_BYTES = 64 * 1024
CAP_BYTES = 100 * 1000**2
CUT = f"\n[mlmesh: the log is cut here, at {CAP_BYTES // 1000**2} MB]\n".encode()
END = "end"
POLL_S = 1.0
"""How soon a reader sees what came in through another replica."""
REMEMBERED = 1000
"""Logs whose size is kept in memory."""
OFFSET = re.compile(r"[0-9]{16}")


@dataclass(frozen=True)
class Tail:
    size: int = 0
    last: int = 0
    """Offset of the last chunk."""
    ended: bool = False

    def with_file(self, name: str, size: int) -> Tail:
        if OFFSET.fullmatch(name):
            return replace(self, size=int(name) + size, last=int(name))
        return replace(self, ended=self.ended or name == END)


def writes(size: int, offset: int, data: bytes) -> list[tuple[int, bytes]]:
    """What to store of `data`, which begins at `offset` of a log that has `size` bytes: only what is new.

    Raises Conflict, with the offset that is expected, when bytes between are missing. Nothing after the cut is kept.
    """
    if size > CAP_BYTES:
        return []
    if offset > size:
        raise Conflict(f"the log has {size} bytes; send what comes next", expected=size)
    fresh = data[size - offset :]
    if size + len(fresh) <= CAP_BYTES:
        return [(size, fresh)] if fresh else []
    kept = [(size, fresh[: CAP_BYTES - size])] if size < CAP_BYTES else []
    return [*kept, (CAP_BYTES, CUT)]


@dataclass
class Log:
    """What this process knows of a log."""

    root: str
    tail: Tail | None = None
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        self.grown.set()
        self.grown = asyncio.Event()


class Logs:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[str, Log] = OrderedDict()

    async def append(self, app: str, name: str, offset: int, data: bytes, *, end: bool) -> None:
        """Idempotent: bytes that are there already are not stored again."""
        log = self._log(app, name)
        async with log.writing:
            if log.tail is None or log.tail.size != offset:
                await self._look(log)
            await self._write(log, log.tail or Tail(), offset, data, end)
        log.wake()

    async def _write(self, log: Log, tail: Tail, offset: int, data: bytes, end: bool) -> None:
        for start, piece in writes(tail.size, offset, data):
            await self._store.put(f"{log.root}{start:016d}", _whole(piece), len(piece))
            log.tail = tail = Tail(start + len(piece), start, tail.ended)
        if end and not tail.ended:
            await self._store.put(log.root + END, _whole(b""), 0)
            log.tail = replace(tail, ended=True)

    async def size(self, app: str, name: str) -> int:
        """Of the log as it is now; 0 when there is none."""
        return (await self._look(self._log(app, name))).size

    async def read(self, app: str, name: str, offset: int, *, wait: float) -> AsyncIterator[bytes]:
        """The bytes from `offset`; when there are none, those that come within `wait` seconds."""
        log, until = self._log(app, name), time.monotonic() + wait
        while True:
            grown, position, ended = log.grown, offset, False
            async for stat in self._store.list(log.root, _before(log.root, position - CHUNK_BYTES + 1)):
                ended = ended or stat.key == log.root + END
                if (start := _start(log, stat)) is not None and start <= position < start + stat.size:
                    piece = (await self._content(stat))[position - start :]
                    yield piece
                    position += len(piece)
            left = until - time.monotonic()
            if position > offset or ended or left <= 0:
                return
            await _rung(grown, min(left, POLL_S))

    async def _content(self, stat: Stat) -> bytes:
        try:
            return await self._bytes(stat)
        except Unavailable:  # a worker sent the chunk again, perhaps longer, through another replica
            return await self._bytes(await self._store.stat(stat.key) or stat)

    async def _bytes(self, stat: Stat) -> bytes:
        async with self._store.get(stat) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def _look(self, log: Log) -> Tail:
        tail = log.tail or Tail()
        async for stat in self._store.list(log.root, _before(log.root, tail.last)):
            tail = tail.with_file(stat.key.removeprefix(log.root), stat.size)
        log.tail = tail
        return tail

    def _log(self, app: str, name: str) -> Log:
        root = area_root(app, f"logs/{name}")
        found = self._known.setdefault(root, Log(root))
        self._known.move_to_end(root)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found


def _before(root: str, offset: int) -> str:
    """What sorts right before a chunk of this offset."""
    return f"{root}{offset - 1:016d}" if offset > 0 else root


def _start(log: Log, stat: Stat) -> int | None:
    name = stat.key.removeprefix(log.root)
    return int(name) if OFFSET.fullmatch(name) else None


async def _rung(grown: asyncio.Event, limit: float) -> None:
    try:
        async with asyncio.timeout(limit):
            await grown.wait()
    except TimeoutError:
        return


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data
