"""The table as it is now: followed from the scheduler, kept on disk for the time when that is away."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import orjson

from libs.common import log
from libs.common.errors import MeshError
from services.gateway.internal_client import Service
from services.gateway.routing.route_table import Table, changed

WAIT_S = 25
ANSWER_TIMEOUT_S = WAIT_S + 10.0
RETRY_S = 0.1
MAX_RETRY_S = 1.0
LOOK_TIMEOUT_S = 1.0
LOOK_PAUSE_S = 0.02
"""Between two looks, however many calls find nothing: a scan for paths costs the scheduler little."""

NONE = -1
"""The version of a gateway that has no table yet; an empty one has version 0."""
FAILURES = (MeshError, ValueError, KeyError, TypeError, OSError)


class Watch:
    def __init__(self, scheduler: Service, file: Path) -> None:
        self._scheduler = scheduler
        self._file = file
        self._log = log.get("gateway")
        self.table = Table()
        self.known = False
        """There has been a table, from the scheduler or from disk."""
        self._away = False
        self._waiting: list[asyncio.Future[None]] = []
        self._wanted = asyncio.Event()
        self._change = asyncio.Event()

    def load(self) -> None:
        """What an earlier process left; an unreadable file counts as none."""
        try:
            self.table = changed(Table(), orjson.loads(self._file.read_bytes()))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._log.warning("the table on disk cannot be read", file=str(self._file), why=repr(error))
            return
        self.known = True

    async def run(self) -> None:
        """Follows for ever; while the scheduler is away the last table stays."""
        pause = 0.0
        while True:
            try:
                await self.step()
                pause, self._away = 0.0, False
            except FAILURES as error:
                self._away = True
                if not pause:
                    self._log.warning("the table cannot be followed", why=str(error))
                pause = min(MAX_RETRY_S, max(RETRY_S, pause * 2))
            await asyncio.sleep(pause)

    async def step(self) -> None:
        if await self._ask(WAIT_S if self.known else 0, ANSWER_TIMEOUT_S):
            await asyncio.to_thread(self._keep, orjson.dumps(self.table.document()))

    async def fresh(self) -> Table:
        """The table as the scheduler has it at this moment; the last one while that is away."""
        if not self._away:
            looked = asyncio.get_running_loop().create_future()
            self._waiting.append(looked)
            self._wanted.set()
            await looked
        return self.table

    @property
    def change(self) -> asyncio.Event:
        """Set when the table is no longer the one that it is now."""
        return self._change

    async def look(self) -> None:
        """Looks for ever for those who wait for a fresh table, once for all who came by then."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            waiting, self._waiting = self._waiting, []
            try:
                await self._ask(0, LOOK_TIMEOUT_S)
            except FAILURES as error:
                self._log.info("no fresh table", why=str(error))
            for looked in waiting:
                if not looked.done():
                    looked.set_result(None)
            await asyncio.sleep(LOOK_PAUSE_S)

    async def _ask(self, wait: float, timeout: float) -> bool:
        """Whether the table changed. Two may be under way: the answer that is older than the table is dropped."""
        since = self.table.version if self.known else NONE
        change = await self._scheduler.ask("GET", f"/internal/table?since={since}&wait={wait}", timeout=timeout)
        newer = change is not None and (bool(change.get("full")) or int(change["version"]) > self.table.version)
        if newer:
            self.table = changed(self.table, change)
            for ns in self.table.unread:
                self._log.error("an app's routes cannot be read and stay as they were", app=ns)
            self._change.set()
            self._change = asyncio.Event()
        self.known = True
        return newer

    def _keep(self, content: bytes) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self._file.with_suffix(f".{os.getpid()}")  # several processes may keep one table
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self._file)
