"""Keeps the route table current by long polling the scheduler; a copy on disk serves while the scheduler is down."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import orjson

from libs.common import log
from libs.common.errors import MeshError
from libs.common.protocol.route_table import RouteTableChange
from services.gateway.internal_client import InternalService
from services.gateway.routing.route_table import RouteTable, apply_change

LONG_POLL_S = 25
LONG_POLL_TIMEOUT_S = LONG_POLL_S + 10.0
RETRY_S = 0.1
MAX_RETRY_S = 1.0
REFRESH_TIMEOUT_S = 1.0
REFRESH_PAUSE_S = 0.02
"""Pause between two refreshes, so that a scan for unknown paths costs the scheduler little."""

NO_VERSION = -1
"""Sent before the first table was received; an empty table has version 0."""
POLL_ERRORS = (MeshError, ValueError, OSError)


class TableWatcher:
    def __init__(self, scheduler: InternalService, file: Path) -> None:
        self._scheduler = scheduler
        self._file = file
        self._log = log.get("gateway")
        self.table = RouteTable()
        self.has_table = False
        """A table was received from the scheduler or loaded from disk."""
        self._scheduler_down = False
        self._refresh_waiters: list[asyncio.Future[None]] = []
        self._refresh_requested = asyncio.Event()
        self._change_event = asyncio.Event()

    def load(self) -> None:
        """Load the copy of an earlier process; an unreadable file is ignored."""
        try:
            stored = RouteTableChange.model_validate(orjson.loads(self._file.read_bytes()))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self._log.warning("Cannot read the route table on disk", file=str(self._file), error=repr(error))
            return
        self.table = apply_change(RouteTable(), stored)
        self.has_table = True

    async def run(self) -> None:
        """Poll for ever; the last table stays in use while the scheduler is down."""
        pause = 0.0
        while True:
            try:
                await self.poll_once()
                if self._scheduler_down:
                    version = self.table.version
                    self._log.warning("Connection to scheduler restored; route table refreshed", version=version)
                pause, self._scheduler_down = 0.0, False
            except POLL_ERRORS as error:
                if not self._scheduler_down:
                    self._log.warning(
                        "Lost connection to scheduler; serving the cached route table",
                        version=self.table.version,
                        error=str(error),
                    )
                self._scheduler_down = True
                pause = min(MAX_RETRY_S, max(RETRY_S, pause * 2))
            await asyncio.sleep(pause)

    async def poll_once(self) -> None:
        if await self._fetch_changes(LONG_POLL_S if self.has_table else 0, LONG_POLL_TIMEOUT_S):
            await asyncio.to_thread(self._save, orjson.dumps(self.table.to_json()))

    async def refresh(self) -> RouteTable:
        """The newest table of the scheduler; the last known one while the scheduler is down."""
        if not self._scheduler_down:
            waiter = asyncio.get_running_loop().create_future()
            self._refresh_waiters.append(waiter)
            self._refresh_requested.set()
            await waiter
        return self.table

    @property
    def change_event(self) -> asyncio.Event:
        """Set at the next change of the table; then replaced by a new event."""
        return self._change_event

    async def serve_refreshes(self) -> None:
        """Serve calls of `refresh` for ever: one request for all that wait at the time."""
        while True:
            await self._refresh_requested.wait()
            self._refresh_requested.clear()
            waiters, self._refresh_waiters = self._refresh_waiters, []
            try:
                await self._fetch_changes(0, REFRESH_TIMEOUT_S)
            except POLL_ERRORS as error:
                self._log.warning("Route table refresh failed", error=str(error))
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            await asyncio.sleep(REFRESH_PAUSE_S)

    async def _fetch_changes(self, wait: float, timeout: float) -> bool:
        """Whether the table changed. Of two concurrent requests the older response is dropped."""
        since = self.table.version if self.has_table else NO_VERSION
        response = await self._scheduler.request_json(
            "GET", f"/internal/table?since={since}&wait={wait}", timeout=timeout
        )
        change = None if response is None else RouteTableChange.model_validate(response)
        is_newer = change is not None and (change.full or change.version > self.table.version)
        if change is not None and is_newer:
            self.table = apply_change(self.table, change)
            for ns in self.table.invalid_apps:
                self._log.error("Invalid routes of an app; keeping its last valid routes", app=ns)
            self._change_event.set()
            self._change_event = asyncio.Event()
        self.has_table = True
        return is_newer

    def _save(self, content: bytes) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._file.with_suffix(f".{os.getpid()}")  # several processes may share the file
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self._file)
