"""Runs one attempt of a stage: downloads inputs, runs the container, uploads outputs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from libs.common.protocol.report import FailureDetails, ResourceUsage, ReuseQuery, ReuseResponse
from libs.common.protocol.stage import StageSpec
from services.worker.context import WorkerContext
from services.worker.failures import TaskFailed
from services.worker.files import cache_key, disk, stage_in, stage_out
from services.worker.files.log_uploader import LogUploader
from services.worker.held_tasks import HeldTask
from services.worker.outcome import Outcome
from services.worker.retry import retry
from services.worker.runtime import Exit
from services.worker.runtime.spec import build_stage_container
from services.worker.work.monitoring import STOP_GRACE_S, find_missing_program, follow_log_and_progress

CACHE_KEY_FILE = "content"


class Stage:
    def __init__(self, context: WorkerContext, held_task: HeldTask, spec: StageSpec) -> None:
        self.context, self.held_task, self.lease, self.spec = context, held_task, held_task.lease, spec
        self.folder = context.task_folder(held_task.lease)
        self.log = LogUploader(held_task, self.folder, context.runtime, context.peers)

    async def run(self, *, adopted: bool) -> Outcome:
        """Raises TaskFailed."""
        if not adopted and not await self._start():
            return Outcome("reused")
        started_at = self._started_at()
        self.held_task.update_status(state="running", detail=None)
        async with follow_log_and_progress(self.log, self.held_task, self.folder / "progress"):
            exit_info = await self._wait_within_timeout(started_at)
        raise_on_failure(exit_info, self.log.read_tail(), full=disk.is_full(self.folder))
        self.held_task.update_status(state="uploading")
        await retry(lambda: self.context.runtime.take_ownership(self.lease.container_name, self.folder))
        outputs = await asyncio.to_thread(stage_out.collect_outputs, self.spec.outputs, self.folder)
        uploaded = await stage_out.upload_outputs(self.lease.app, outputs, self.context.peers, self.context.file_cache)
        return Outcome(
            "succeeded",
            outputs=uploaded,
            log_tail=self.log.read_tail(),
            usage=resource_usage(exit_info, started_at),
            cache_key=self._read_cache_key(),
        )

    async def _start(self) -> bool:
        """Prepare and start the container. False: an equal earlier stage was found in the cache, and nothing is run."""
        if self.context.needs_source and not self.spec.entry_point:
            raise TaskFailed("error", "the process runtime runs no image: give the stage an entryPoint")
        site = await self.context.build_site(self.lease)
        secrets = await self.context.fetch_secrets(self.held_task, self.spec.secrets)
        peers, file_cache = self.context.peers, self.context.file_cache
        await stage_in.prepare_inputs(self.lease.app, self.spec, self.folder, peers, file_cache)
        paths = stage_in.variable_paths(self.spec, self.folder)
        container = build_stage_container(self.lease, self.spec, site, paths, secrets)
        container = await self.context.prepare(self.held_task, container, self.spec.image_credentials)
        if await self._try_reuse(container.image_id or None, paths):
            return False
        await self.context.start(self.held_task, container)
        return True

    async def _try_reuse(self, image_id: str | None, paths: Mapping[str, Path]) -> bool:
        if self.spec.cache == "off":
            return False
        commit = self.lease.commit if self.context.needs_source else None
        key = await asyncio.to_thread(cache_key.stage_cache_key, self.spec, image_id, paths, commit=commit)
        (self.folder / CACHE_KEY_FILE).write_text(key)
        if self.spec.cache == "refresh":
            return False
        query = ReuseQuery(worker=self.context.worker, token=self.lease.token, cache_key=key).to_json()
        path = f"/internal/tasks/{self.lease.task}/reuse"
        response = await retry(lambda: self.context.peers.scheduler.post(path, query))
        return ReuseResponse.model_validate(response).reused

    def _read_cache_key(self) -> str | None:
        """Read from a file, so that a worker that adopts the stage reports it, too."""
        file = self.folder / CACHE_KEY_FILE
        return file.read_text() if file.exists() else None

    def _started_at(self) -> float:
        """When the container started: a file's time, so that a worker that adopts the stage continues the clock."""
        file = self.folder / "container.started"
        if not file.exists():
            file.touch()
        return file.stat().st_mtime

    async def _wait_within_timeout(self, started_at: float) -> Exit:
        limit = self.spec.timeout
        try:
            async with asyncio.timeout(max(0.0, started_at + limit - time.time())):
                return await self._wait_within_disk_limit()
        except TimeoutError as error:
            await retry(lambda: self.context.runtime.stop(self.lease.container_name, STOP_GRACE_S), timeout=None)
            raise TaskFailed("timeout", f"it ran longer than its timeout of {limit:g} s") from error

    async def _wait_within_disk_limit(self) -> Exit:
        exiting = asyncio.create_task(self.context.runtime.wait(self.lease.container_name))
        limit = self.context.settings.scratch_limit
        over_limit = asyncio.create_task(
            disk.wait_until_over_limit(self.folder, limit, self.context.settings.disk_reserve)
        )
        try:
            await asyncio.wait([exiting, over_limit], return_when=asyncio.FIRST_COMPLETED)
            if not exiting.done():
                await retry(lambda: self.context.runtime.stop(self.lease.container_name, 0.0), timeout=None)
                raise await over_limit
            return await exiting
        finally:
            for task in (exiting, over_limit):
                task.cancel()
            await asyncio.gather(exiting, over_limit, return_exceptions=True)


def raise_on_failure(exit_info: Exit, tail: list[str], *, full: bool) -> None:
    """Raises TaskFailed unless the exit was successful. `full`: its disk is full."""
    if exit_info.success:
        return
    if exit_info.oom:
        raise TaskFailed("oom", exit_info.oom_message)
    if full:
        raise TaskFailed(disk.DISK_FULL, "the worker's disk is full")
    status: FailureDetails = {"signal": exit_info.signal} if exit_info.signal else {"exit_code": exit_info.code}
    if program := find_missing_program(exit_info, tail):
        raise TaskFailed("error", f"program not found in the image: {program}", **status)
    default = f"ended by signal {exit_info.signal}" if exit_info.signal else f"ended with status {exit_info.code}"
    raise TaskFailed("error", next((line for line in reversed(tail) if line.strip()), default), **status)


def resource_usage(exit_info: Exit, started_at: float) -> ResourceUsage:
    return {
        "duration": round(time.time() - started_at, 3),
        "peak_memory": exit_info.peak_memory,
        "cpu_seconds": exit_info.cpu_seconds,
    }
