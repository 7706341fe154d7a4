"""Logs stored as files: one file per chunk, named by the offset of its first byte.

<app>/.internal/logs/<name>/<offset, 16 digits>      at most 64 KB each
<app>/.internal/logs/<name>/end                      the log is complete
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
MAX_LOG_BYTES = 100 * 1000**2
TRUNCATION_NOTE = f"\n[mlmesh: the log is cut here, at {MAX_LOG_BYTES // 1000**2} MB]\n".encode()
END_FILE = "end"
POLL_S = 1.0
"""Poll interval of a waiting reader: how soon it sees chunks that another replica stored."""
MAX_CACHED_LOGS = 1000
"""Logs whose size is cached in memory."""
CHUNK_NAME = re.compile(r"[0-9]{16}")


@dataclass(frozen=True)
class LogTail:
    size: int = 0
    last_offset: int = 0
    """Offset of the last chunk."""
    ended: bool = False

    def with_file(self, name: str, size: int) -> LogTail:
        if CHUNK_NAME.fullmatch(name):
            return replace(self, size=int(name) + size, last_offset=int(name))
        return replace(self, ended=self.ended or name == END_FILE)


def plan_append(size: int, offset: int, data: bytes) -> list[tuple[int, bytes]]:
    """The chunks to store of `data`, which begins at `offset`, for a log of `size` bytes: only the new bytes.

    Raises Conflict with the `expected` offset if bytes are missing in between. A truncated log takes no more bytes.
    """
    if size > MAX_LOG_BYTES:
        return []
    if offset > size:
        raise Conflict(f"the log has {size} bytes; send the bytes from that offset", expected=size)
    new_data = data[size - offset :]
    if size + len(new_data) <= MAX_LOG_BYTES:
        return [(size, new_data)] if new_data else []
    pieces = [(size, new_data[: MAX_LOG_BYTES - size])] if size < MAX_LOG_BYTES else []
    return [*pieces, (MAX_LOG_BYTES, TRUNCATION_NOTE)]


@dataclass
class CachedLog:
    """Cached state of a log in this process."""

    root: str
    tail: LogTail | None = None
    write_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    growth_event: asyncio.Event = field(default_factory=asyncio.Event)

    def notify_readers(self) -> None:
        self.growth_event.set()
        self.growth_event = asyncio.Event()


class LogFiles:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: OrderedDict[str, CachedLog] = OrderedDict()

    async def append(self, app: str, name: str, offset: int, data: bytes, *, end: bool) -> None:
        """Idempotent: bytes that are stored already are skipped."""
        log = self._get_log(app, name)
        async with log.write_lock:
            if log.tail is None or log.tail.size != offset:
                await self._refresh_tail(log)
            await self._append_chunks(log, log.tail or LogTail(), offset, data, end)
        log.notify_readers()

    async def _append_chunks(self, log: CachedLog, tail: LogTail, offset: int, data: bytes, end: bool) -> None:
        for start, piece in plan_append(tail.size, offset, data):
            await self._store.put(f"{log.root}{start:016d}", _as_body(piece), len(piece))
            log.tail = tail = LogTail(start + len(piece), start, tail.ended)
        if end and not tail.ended:
            await self._store.put(log.root + END_FILE, _as_body(b""), 0)
            log.tail = replace(tail, ended=True)

    async def get_size(self, app: str, name: str) -> int:
        """Current size of the log; 0 if there is none."""
        return (await self._refresh_tail(self._get_log(app, name))).size

    async def read_from(self, app: str, name: str, offset: int, *, wait: float) -> AsyncIterator[bytes]:
        """The bytes from `offset`; if there are none, those that arrive within `wait` seconds."""
        log, deadline = self._get_log(app, name), time.monotonic() + wait
        while True:
            growth_event, position, ended = log.growth_event, offset, False
            async for stat in self._store.list(log.root, _key_before(log.root, position - CHUNK_BYTES + 1)):
                ended = ended or stat.key == log.root + END_FILE
                if (start := _chunk_offset(log, stat)) is not None and start <= position < start + stat.size:
                    piece = (await self._read_chunk(stat))[position - start :]
                    yield piece
                    position += len(piece)
            remaining = deadline - time.monotonic()
            if position > offset or ended or remaining <= 0:
                return
            await _wait_for_growth(growth_event, min(remaining, POLL_S))

    async def _read_chunk(self, stat: Stat) -> bytes:
        try:
            return await self._read_file(stat)
        except Unavailable:  # a worker sent the chunk again, perhaps a longer one, to another replica
            return await self._read_file(await self._store.stat(stat.key) or stat)

    async def _read_file(self, stat: Stat) -> bytes:
        async with self._store.get(stat) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def _refresh_tail(self, log: CachedLog) -> LogTail:
        tail = log.tail or LogTail()
        async for stat in self._store.list(log.root, _key_before(log.root, tail.last_offset)):
            tail = tail.with_file(stat.key.removeprefix(log.root), stat.size)
        log.tail = tail
        return tail

    def _get_log(self, app: str, name: str) -> CachedLog:
        root = area_root(app, f"logs/{name}")
        log = self._cache.setdefault(root, CachedLog(root))
        self._cache.move_to_end(root)
        if len(self._cache) > MAX_CACHED_LOGS:
            self._cache.popitem(last=False)
        return log


def _key_before(root: str, offset: int) -> str:
    """The key that sorts right before a chunk of this offset."""
    return f"{root}{offset - 1:016d}" if offset > 0 else root


def _chunk_offset(log: CachedLog, stat: Stat) -> int | None:
    name = stat.key.removeprefix(log.root)
    return int(name) if CHUNK_NAME.fullmatch(name) else None


async def _wait_for_growth(growth_event: asyncio.Event, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            await growth_event.wait()
    except TimeoutError:
        return


async def _as_body(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data
