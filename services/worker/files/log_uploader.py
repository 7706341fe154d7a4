"""A task's output on its way to databox: chunks numbered by their byte offset."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from libs.common import log
from libs.common.errors import Conflict, MeshError
from libs.common.http.client import ServiceClients
from services.worker.lease import Lease
from services.worker.retry import retry
from services.worker.runtime import Runtime

CHUNK = 64 * 1024
FIRST_SEND_DELAY_S = 0.02
"""What a first line waits for others."""
SEND_INTERVAL_S = 0.4
"""Between two sendings of a log that goes on and on: a line waits no longer than this."""
MAX_PENDING = 4 * CHUNK
"""Bytes kept while databox is slow; then reading waits."""
DRAIN_TIMEOUT_S = 10.0
"""How long the log of what has ended may take to reach databox before the outcome is reported without it."""
TAIL_BYTES = 16 * 1024
TAIL_LINES = 20


class LogUploader:
    """Follows one container's output from where an earlier worker had got (`log.sent`)."""

    def __init__(self, lease: Lease, folder: Path, runtime: Runtime, peers: ServiceClients) -> None:
        self._lease, self._runtime, self._peers = lease, runtime, peers
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
        """The rest has been sent, or took too long; at once when nothing was ever followed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self._finished.wait()

    async def send_end(self) -> None:
        """Tell that no more will come; who reads then need not wait. Nobody waits for this: the task has ended."""
        if self._read_all and self._finished.is_set() and not self._rejected:
            with suppress(MeshError):
                await self._post_once(b"", end=1)

    async def run(self) -> None:
        """Returns when the container has ended and all was sent."""
        self._finished.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_log())
            group.create_task(self._send_chunks())
        self._finished.set()

    async def _read_log(self) -> None:
        overlap = min(self._offset, TAIL_BYTES)  # what an earlier worker has sent, for the tail
        try:
            async for chunk in self._runtime.follow_log(self._lease.container_name, self._offset - overlap):
                self._tail = (self._tail + chunk)[-TAIL_BYTES:]
                await self._may_read.wait()
                self._pending += chunk[overlap:]
                overlap -= min(overlap, len(chunk))
                self._update_events()
        except MeshError as error:
            log.get("worker").warning("log cannot be read", task=self._lease.task, why=error.detail)
        finally:
            self._read_all = True
            self._has_data.set()
            self._has_full_chunk.set()

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
        with suppress(OSError):  # the folder is gone, or the disk is full: the next worker would send some of it again
            self._sent_file.write_text(str(self._offset))

    async def _post_chunk(self, chunk: bytes) -> None:
        if self._rejected:
            return
        try:
            await retry(lambda: self._post_once(chunk), timeout=None)
        except MeshError as error:
            self._rejected = True  # the app is gone, or bytes are missing that nobody has any more
            log.get("worker").warning("log is not accepted", task=self._lease.task, why=error.detail)

    async def _post_once(self, chunk: bytes, end: int | None = None) -> None:
        path = f"/internal/apps/{self._lease.app}/logs/{self._lease.spec['log']}"
        query = {"offset": self._offset, "end": end}
        try:
            async with self._peers.databox.stream("POST", path, data=chunk, params=query) as response:
                await response.read()
        except Conflict as error:
            if int(error.extensions.get("expected", -1)) < self._offset:
                raise
