"""A task's output on its way to databox: chunks numbered by their byte offset."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from libs.common import log
from libs.common.errors import Conflict, MeshError
from libs.common.http.client import Peers
from services.worker.lease import Lease
from services.worker.retry import patient
from services.worker.runtime import Runtime

CHUNK = 64 * 1024
GATHER_S = 0.02
"""What a first line waits for others."""
INTERVAL_S = 0.4
"""Between two sendings of a log that goes on and on: a line waits no longer than this."""
WAITING = 4 * CHUNK
"""Bytes kept while databox is slow; then reading waits."""
DRAIN_S = 10.0
"""How long the log of what has ended may take to reach databox before the outcome is reported without it."""
TAIL = 16 * 1024
TAIL_LINES = 20


class Log:
    """Follows one container's output from where an earlier worker had got (`log.sent`)."""

    def __init__(self, lease: Lease, folder: Path, runtime: Runtime, peers: Peers) -> None:
        self._lease, self._runtime, self._peers = lease, runtime, peers
        self._sent_file = folder / "log.sent"
        self._offset = int(self._sent_file.read_text() or 0) if self._sent_file.exists() else 0
        self._waiting = bytearray()
        self._tail = bytearray()
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._finished = asyncio.Event()
        self._finished.set()
        self._over = False
        self._refused = False

    def tail(self) -> list[str]:
        return self._tail.decode(errors="replace").splitlines()[-TAIL_LINES:]

    async def drained(self) -> None:
        """The rest has been sent, or took too long; at once when nothing was ever followed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._finished.wait()

    async def end(self) -> None:
        """Tell that no more will come; who reads then need not wait. Nobody waits for this: the task has ended."""
        if self._over and self._finished.is_set() and not self._refused:
            with suppress(MeshError):
                await self._once(b"", end=1)

    async def run(self) -> None:
        """Returns when the container has ended and all was sent."""
        self._finished.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read())
            group.create_task(self._send())
        self._finished.set()

    async def _read(self) -> None:
        before = min(self._offset, TAIL)  # what an earlier worker has sent, for the tail
        try:
            async for chunk in self._runtime.logs(self._lease.name, self._offset - before):
                self._tail = (self._tail + chunk)[-TAIL:]
                await self._room.wait()
                self._waiting += chunk[before:]
                before -= min(before, len(chunk))
                self._pace()
        except MeshError as error:
            log.get("worker").warning("log cannot be read", task=self._lease.task, why=error.detail)
        finally:
            self._over = True
            self._some.set()
            self._full.set()

    def _pace(self) -> None:
        (self._some.set if self._waiting else self._some.clear)()
        (self._full.set if len(self._waiting) >= CHUNK else self._full.clear)()
        (self._room.clear if len(self._waiting) >= WAITING else self._room.set)()

    async def _send(self) -> None:
        sent = 0.0
        while not (self._over and not self._waiting):
            await self._some.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(GATHER_S, sent + INTERVAL_S - time.monotonic())):
                    await self._full.wait()
            sent = time.monotonic()
            while self._waiting:
                await self._chunk(bytes(self._waiting[:CHUNK]))

    async def _chunk(self, chunk: bytes) -> None:
        await self._post(chunk)
        self._offset += len(chunk)
        del self._waiting[: len(chunk)]
        if not self._over:
            self._pace()
        with suppress(OSError):  # the folder is gone, or the disk is full: the next worker would send some of it again
            self._sent_file.write_text(str(self._offset))

    async def _post(self, chunk: bytes) -> None:
        if self._refused:
            return
        try:
            await patient(lambda: self._once(chunk), limit=None)
        except MeshError as error:
            self._refused = True  # the app is gone, or bytes are missing that nobody has any more
            log.get("worker").warning("log is not accepted", task=self._lease.task, why=error.detail)

    async def _once(self, chunk: bytes, end: int | None = None) -> None:
        path = f"/internal/apps/{self._lease.app}/logs/{self._lease.spec['log']}"
        query = {"offset": self._offset, "end": end}
        try:
            async with self._peers.databox.stream("POST", path, data=chunk, params=query) as answer:
                await answer.read()
        except Conflict as error:
            if int(error.members.get("expected", -1)) < self._offset:
                raise
