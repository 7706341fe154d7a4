"""A stage on this host: inputs, run, outputs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from services.worker.context import Host
from services.worker.failures import Failed
from services.worker.files import cache_key, disk, stage_in, stage_out
from services.worker.files.log_uploader import Log
from services.worker.held_tasks import Holding
from services.worker.outcome import Outcome
from services.worker.retry import patient
from services.worker.runtime import Exit, spec
from services.worker.work.monitoring import STOP_GRACE_S, following, missing

CONTENT = "content"


class Stage:
    def __init__(self, host: Host, holding: Holding) -> None:
        self.host, self.holding, self.lease = host, holding, holding.lease
        self.folder = host.folder(holding.lease)
        self.log = Log(self.lease, self.folder, host.runtime, host.peers)

    async def run(self, *, adopted: bool) -> Outcome:
        """Raises Failed."""
        if not adopted and not await self._start():
            return Outcome("reused")
        began = self._began()
        self.holding.show(state="running", detail=None)
        async with following(self.log, self.holding, self.folder / "progress"):
            ended = await self._end(began)
        checked(ended, self.log.tail(), full=disk.over(self.folder))
        self.holding.show(state="uploading")
        await patient(lambda: self.host.runtime.reclaim(self.lease.name, self.folder))
        outputs = await asyncio.to_thread(stage_out.collect, self.lease, self.folder)
        delivered = await stage_out.deliver(self.lease, outputs, self.host.peers, self.host.shelf)
        return Outcome(
            "succeeded",
            outputs=delivered,
            log_tail=self.log.tail(),
            usage=usage(ended, began),
            content=self._content(),
        )

    async def _start(self) -> bool:
        """False when an earlier stage made the same, and this one has succeeded by that."""
        if self.host.with_source and not self.lease.spec.get("entry_point"):
            raise Failed("error", "the process runtime runs no image: give the stage an entryPoint")
        site = await self.host.site(self.lease)
        secrets = await self.host.secrets(self.lease)
        await stage_in.bring(self.lease, self.folder, self.host.peers, self.host.shelf)
        paths = stage_in.paths(self.lease, self.folder)
        wanted = await self.host.prepare(self.holding, spec.of_stage(self.lease, site, paths, secrets))
        if await self._reused(wanted.identity, paths):
            return False
        await self.host.start(self.holding, wanted)
        return True

    async def _reused(self, identity: str, paths: Mapping[str, Path]) -> bool:
        cache = self.lease.spec.get("cache") or "off"
        if cache == "off":
            return False
        made_of = await asyncio.to_thread(cache_key.key, self.lease, identity, paths, with_source=self.host.with_source)
        (self.folder / CONTENT).write_text(made_of)
        if cache == "refresh":
            return False
        body = {"worker": self.host.worker, "token": self.lease.token, "content": made_of}
        path = f"/internal/tasks/{self.lease.task}/reuse"
        answer = await patient(lambda: self.host.peers.scheduler.post(path, body))
        return bool(answer["reused"])

    def _content(self) -> str | None:
        """Kept in a file: a worker that adopts the stage says it, too."""
        mark = self.folder / CONTENT
        return mark.read_text() if mark.exists() else None

    def _began(self) -> float:
        """Kept in a file: a worker that adopts the stage counts on."""
        mark = self.folder / "container.started"
        if not mark.exists():
            mark.touch()
        return mark.stat().st_mtime

    async def _end(self, began: float) -> Exit:
        limit = float(self.lease.spec["timeout"])
        try:
            async with asyncio.timeout(max(0.0, began + limit - time.time())):
                return await self._ended_within_its_room()
        except TimeoutError as error:
            await patient(lambda: self.host.runtime.stop(self.lease.name, STOP_GRACE_S), limit=None)
            raise Failed("timeout", f"it ran longer than {limit:g} s") from error

    async def _ended_within_its_room(self) -> Exit:
        ending = asyncio.create_task(self.host.runtime.wait(self.lease.name))
        limit = self.host.settings.scratch_limit
        growing = asyncio.create_task(disk.outgrown(self.folder, limit, self.host.settings.disk_reserve))
        try:
            await asyncio.wait([ending, growing], return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                await patient(lambda: self.host.runtime.stop(self.lease.name, 0.0), limit=None)
                raise await growing
            return await ending
        finally:
            for task in (ending, growing):
                task.cancel()
            await asyncio.gather(ending, growing, return_exceptions=True)


def checked(ended: Exit, tail: list[str], *, full: bool) -> None:
    """Raises Failed unless it ended well; `full`: nothing is left of the disk that it wrote to."""
    if ended.good:
        return
    if ended.oom:
        raise Failed("oom", ended.lacked)
    if full:
        raise Failed(disk.CODE, "the worker's disk is full")
    how = {"signal": ended.signal} if ended.signal else {"exit_code": ended.code}
    if program := missing(ended, tail):
        raise Failed("error", f"the image has no program {program}, with which this stage begins", **how)
    said = f"ended by signal {ended.signal}" if ended.signal else f"ended with status {ended.code}"
    raise Failed("error", next((line for line in reversed(tail) if line.strip()), said), **how)


def usage(ended: Exit, began: float) -> dict[str, float | int | None]:
    return {
        "duration": round(time.time() - began, 3),
        "peak_memory": ended.peak_memory,
        "cpu_seconds": ended.cpu_seconds,
    }
