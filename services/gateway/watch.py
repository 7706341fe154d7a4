"""The table as it is now: followed from the scheduler, kept on disk for the time when that is away."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import orjson

from libs.common import log
from libs.common.errors import MeshError
from services.gateway.services import Service
from services.gateway.table import Table, changed

WAIT_S = 25
ANSWER_TIMEOUT_S = WAIT_S + 10.0
RETRY_S = 0.1
MAX_RETRY_S = 1.0


class Watch:
    def __init__(self, scheduler: Service, file: Path) -> None:
        self._scheduler = scheduler
        self._file = file
        self._log = log.get("gateway")
        self.table = Table()
        self.known = False
        """There has been a table, from the scheduler or from disk."""

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
                pause = 0.0
            except (MeshError, ValueError, KeyError, TypeError, OSError) as error:
                if not pause:
                    self._log.warning("the table cannot be followed", why=str(error))
                pause = min(MAX_RETRY_S, max(RETRY_S, pause * 2))
            await asyncio.sleep(pause)

    async def step(self) -> None:
        since = self.table.version if self.known else 0
        wait = WAIT_S if self.known else 0
        path = f"/internal/table?since={since}&wait={wait}"
        change = await self._scheduler.ask("GET", path, timeout=ANSWER_TIMEOUT_S)
        if change is None:
            self.known = True
            return
        self.table = changed(self.table, change)
        self.known = True
        await asyncio.to_thread(self._keep, orjson.dumps(self.table.document()))

    def _keep(self, content: bytes) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self._file.with_suffix(".new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self._file)
