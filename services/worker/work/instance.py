"""An instance of a component on this host: model, start, health until it ends."""

from __future__ import annotations

import asyncio
from typing import Any

from libs.common import log
from services.worker.context import WorkerContext
from services.worker.failures import TaskFailed
from services.worker.files.log_uploader import LogUploader
from services.worker.held_tasks import HeldTask
from services.worker.outcome import Outcome
from services.worker.runtime import Exit, RuntimeFailure, spec
from services.worker.work import openapi_client
from services.worker.work.monitoring import STOP_GRACE_S, find_missing_program, follow_log_and_progress
from services.worker.work.probe import HealthProbe

FAST_PROBE_S = 0.025
SLOW_PROBE_S = 0.25
MESH_URL_FILE = "mesh.url"
FAST_PROBES = 80
HEALTH_INTERVAL_S = 2.0
"""Between two health checks, and"""
STEADY_HEALTH_INTERVAL_S = 5.0
"""of one that has been healthy for"""
STEADY_AFTER_S = 30.0
UNHEALTHY_AFTER = 3
"""Health checks in a row that fail before it is unhealthy."""
UNHEALTHY_LIMIT_S = 30.0
"""As long, and twice as long as a call may take, it may be unhealthy before it is started afresh."""
NO_PYTHON_MESSAGE = (
    'the image has no "{}"; a component needs Python 3.9 or later in its image, or mlService.python to say where it is'
)


class Instance:
    def __init__(self, context: WorkerContext, held_task: HeldTask) -> None:
        self.context, self.held_task, self.lease = context, held_task, held_task.lease
        self.folder = context.task_folder(held_task.lease)
        self.log = LogUploader(self.lease, self.folder, context.runtime, context.peers)
        self._headers = {"X-Mlmesh-Token": self.lease.spec["instance_token"]}
        self._openapi_problem: str | None = None
        """What its owner should know although it serves."""

    async def run(self, *, adopted: bool) -> Outcome:
        """Never returns: an instance has no end of its own. Raises TaskFailed."""
        if adopted:
            await self._check_gateway_url()
        else:
            await self._start()
        self._report_model()
        async with follow_log_and_progress(self.log, self.held_task):
            exit_info = await self._wait_for_exit()
        raise exit_failure(exit_info, self.log.read_tail())

    async def _start(self) -> None:
        site = await self.context.build_site(self.lease)
        secrets = await self.context.get_secrets(self.lease)
        location = self.lease.spec.get("model")
        model = await self.context.models.get(self.lease.app, location) if location else None
        if model:
            (self.folder / "model.etag").write_text(model.etag)
        container = spec.build_instance_spec(self.lease, site, model.path if model else None, secrets)
        (self.folder / MESH_URL_FILE).write_text(site.mesh_url)
        await self.context.prepare_and_start(self.held_task, container)

    async def _check_gateway_url(self) -> None:
        """Compare the gateway's URL with the one it started with. Raises RuntimeFailure("lost") if it moved."""
        url_file = self.folder / MESH_URL_FILE
        if url_file.exists() and url_file.read_text() != (current := await self.context.mesh_url(self.lease)):
            raise RuntimeFailure("lost", f"it knows the gateway at {url_file.read_text()}, which is at {current} now")

    def _report_model(self) -> None:
        file = self.folder / "model.etag"
        if file.exists():
            self.held_task.update_status(model_etag=file.read_text())

    async def _wait_for_exit(self) -> Exit:
        """How it ended."""
        ended = asyncio.create_task(self.context.runtime.wait(self.lease.container_name))
        health = asyncio.create_task(self._monitor_health())
        try:
            await asyncio.wait([ended, health], return_when=asyncio.FIRST_COMPLETED)
            if health.done() and not ended.done():
                await self.context.runtime.stop(self.lease.container_name, STOP_GRACE_S)
                await health  # start_timeout, hung
            return await ended
        finally:
            for task in (ended, health):
                task.cancel()
            await asyncio.gather(ended, health, return_exceptions=True)

    async def _monitor_health(self) -> None:
        limit = float(self.lease.spec["start_timeout"])
        try:
            async with asyncio.timeout(limit):
                probe = await self._wait_until_ready()
        except TimeoutError as error:
            raise TaskFailed("start_timeout", f"it was not ready within {limit:g} s") from error
        except RuntimeFailure:
            await asyncio.Event().wait()  # it has ended: how, is being told by the other task
            raise
        try:
            await self._wait_until_hung(probe)
        finally:
            probe.close()

    async def _wait_until_hung(self, probe: HealthProbe) -> None:
        """Raises TaskFailed."""
        clock = asyncio.get_running_loop().time
        limit = max(UNHEALTHY_LIMIT_S, 2 * float(self.lease.spec.get("timeout") or 0.0))
        failures, last_ready, last_failure = 0, clock(), clock()
        while True:
            await asyncio.sleep(
                STEADY_HEALTH_INTERVAL_S if last_ready - last_failure > STEADY_AFTER_S else HEALTH_INTERVAL_S
            )
            if await probe.is_ready():
                failures, last_ready = 0, clock()
            else:
                failures, last_failure = failures + 1, clock()
            if failures == 0:
                self.held_task.update_status(state="healthy", detail=self._openapi_problem)
            elif failures >= UNHEALTHY_AFTER:
                self.held_task.update_status(state="unhealthy", detail=probe.not_ready_reason)
            if clock() - last_ready > limit:
                raise TaskFailed(
                    "hung", f"it was not ready for {limit:g} s, though it had been: {probe.not_ready_reason}"
                )

    async def _wait_until_ready(self) -> HealthProbe:
        host, port = await self.context.runtime.get_address(self.lease.container_name, self.lease.spec["port"])
        probe, polls = HealthProbe(host, port, "/readyz", self._headers), 0
        while not await probe.is_ready():
            polls += 1
            await asyncio.sleep(FAST_PROBE_S if polls < FAST_PROBES else SLOW_PROBE_S)
        openapi, self._openapi_problem = await self._fetch_openapi(f"http://{host}:{port}/openapi.json")
        self.held_task.update_status(
            state="healthy", detail=self._openapi_problem, endpoint={"host": host, "port": port}, openapi=openapi
        )
        return probe

    async def _fetch_openapi(self, url: str) -> tuple[dict[str, Any] | None, str | None]:
        """What it says of itself, or why that is no description: it serves all the same."""
        try:
            return await openapi_client.fetch_openapi(self.context.peers.session, url, self._headers), None
        except openapi_client.InvalidOpenapi as unfit:
            log.get("worker").warning(
                "no description", task=self.lease.task, component=self.lease.spec["component"], why=str(unfit)
            )
            return None, f"its /openapi.json is no description: {unfit}"


def exit_failure(exit_info: Exit, tail: list[str]) -> TaskFailed:
    status = {"signal": exit_info.signal} if exit_info.signal else {"exit_code": exit_info.code}
    if exit_info.oom:
        return TaskFailed("exited", exit_info.oom_message, oom=True, **status)
    if program := find_missing_program(exit_info, tail):
        return TaskFailed("exited", NO_PYTHON_MESSAGE.format(program), **status)
    detail = next((line for line in reversed(tail) if line.strip()), "it ended")
    return TaskFailed("exited", detail, **status)
