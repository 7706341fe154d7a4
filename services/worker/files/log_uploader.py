"""Uploads a task's log to the databox in chunks that carry their byte offset."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from libs.common import log
from libs.common.errors import Conflict, MeshError
from libs.common.http.client import ServiceClients
from libs.common.secret_redaction import RedactedStream
from services.worker.held_tasks import HeldTask
from services.worker.retry import retry

CHUNK = 64 * 1024
FIRST_SEND_DELAY_S = 0.02
"""How long the first line waits for more."""
SEND_INTERVAL_S = 0.4
"""Interval of uploads of a busy log: the maximum delay of a line."""
MAX_PENDING = 4 * CHUNK
"""Bytes buffered while the databox is slow; then reading pauses."""
DRAIN_TIMEOUT_S = 10.0
"""How long the rest of the log may take before the outcome is reported without it."""
TAIL_BYTES = 16 * 1024
TAIL_LINES = 20


class LogSource(Protocol):
    def follow_log(self, name: str, offset: int) -> AsyncIterator[bytes]:
        """The output of `name` from a byte offset, until it has ended."""


class LogUploader:
    """Follows one container's output, from the offset that an earlier worker had reached (`log.sent`).

    Values of its Secrets are hidden before anything is kept.
    """

    def __init__(self, held_task: HeldTask, folder: Path, source: LogSource, peers: ServiceClients) -> None:
        self._held_task, self._lease, self._source, self._peers = held_task, held_task.lease, source, peers
        self._sent_file = folder / "log.sent"
        self._offset = int(self._sent_file.read_text() or 0) if self._sent_file.exists() else 0
        self._pending = bytearray()
        self._tail = bytearray()
        self._has_data = asyncio.Event()
        self._has_full_chunk = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._finished = asyncio.Event()
        self._finished.set()
        self._read_all = False
        self._rejected = False

    def read_tail(self) -> list[str]:
        return self._tail.decode(errors="replace").splitlines()[-TAIL_LINES:]

    async def wait_until_sent(self) -> None:
        """Wait until the rest is uploaded, with a time limit; return immediately if nothing was followed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self._finished.wait()

    async def send_end(self) -> None:
        """Mark the log as complete, so that its readers stop waiting. Best effort: the task has ended."""
        if self._read_all and self._finished.is_set() and not self._rejected:
            with suppress(MeshError):
                await self._post_once(b"", end=1)

    async def run(self) -> None:
        """Return when the container has exited and its whole log is uploaded."""
        self._finished.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_log())
            group.create_task(self._send_chunks())
        self._finished.set()

    async def _read_log(self) -> None:
        overlap = min(self._offset, TAIL_BYTES)  # an earlier worker sent this part; it is read for the tail
        try:
            async for chunk in self._follow_redacted(self._offset - overlap):
                self._tail = (self._tail + chunk)[-TAIL_BYTES:]
                await self._may_read.wait()
                self._pending += chunk[overlap:]
                overlap -= min(overlap, len(chunk))
                self._update_events()
        finally:
            self._read_all = True
            self._has_data.set()
            self._has_full_chunk.set()

    async def _follow_redacted(self, offset: int) -> AsyncIterator[bytes]:
        """The log from `offset` on, as long as the runtime can read it."""
        stream = RedactedStream(self._held_task.redactor)
        try:
            async for chunk in self._source.follow_log(self._lease.container_name, offset):
                yield stream.feed(chunk)
        except MeshError as error:
            log.get("worker").warning("Failed to read the log", task=self._lease.task, why=error.detail)
        yield stream.end()

    def _update_events(self) -> None:
        (self._has_data.set if self._pending else self._has_data.clear)()
        (self._has_full_chunk.set if len(self._pending) >= CHUNK else self._has_full_chunk.clear)()
        (self._may_read.clear if len(self._pending) >= MAX_PENDING else self._may_read.set)()

    async def _send_chunks(self) -> None:
        sent_at = 0.0
        while not (self._read_all and not self._pending):
            await self._has_data.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(FIRST_SEND_DELAY_S, sent_at + SEND_INTERVAL_S - time.monotonic())):
                    await self._has_full_chunk.wait()
            sent_at = time.monotonic()
            while self._pending:
                await self._send_chunk(bytes(self._pending[:CHUNK]))

    async def _send_chunk(self, chunk: bytes) -> None:
        await self._post_chunk(chunk)
        self._offset += len(chunk)
        del self._pending[: len(chunk)]
        if not self._read_all:
            self._update_events()
        with suppress(OSError):  # folder removed or disk full: the next worker resends a part
            self._sent_file.write_text(str(self._offset))

    async def _post_chunk(self, chunk: bytes) -> None:
        if self._rejected:
            return
        try:
            await retry(lambda: self._post_once(chunk), timeout=None)
        except MeshError as error:
            self._rejected = True  # the app was deleted, or earlier bytes are lost
            log.get("worker").warning(
                "Databox rejected the log; dropping the rest", task=self._lease.task, why=error.detail
            )

    async def _post_once(self, chunk: bytes, end: int | None = None) -> None:
        path = f"/internal/apps/{self._lease.app}/logs/{self._lease.log_name}"
        query = {"offset": self._offset, "end": end}
        try:
            async with self._peers.databox.stream("POST", path, data=chunk, params=query) as response:
                await response.read()
        except Conflict as error:
            if int(error.extensions.get("expected", -1)) < self._offset:
                raise
