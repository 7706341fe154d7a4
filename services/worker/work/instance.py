"""Runs an instance of a component: downloads the model, starts the container, probes its health until it exits."""

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
"""Interval of health checks,"""
STEADY_HEALTH_INTERVAL_S = 5.0
"""and of an instance that has been healthy for this long:"""
STEADY_AFTER_S = 30.0
UNHEALTHY_AFTER = 3
"""Consecutive failed health checks that make it unhealthy."""
UNHEALTHY_LIMIT_S = 30.0
"""It is restarted after it was unhealthy for this long, and twice as long as a call may take."""
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
        """A warning for its owner although it serves."""
        self._is_healthy = False

    async def run(self, *, adopted: bool) -> Outcome:
        """Never returns: any exit of an instance is a failure. Raises TaskFailed."""
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
            raise RuntimeFailure(
                "lost", f"it was started with the gateway at {url_file.read_text()}, which is now at {current}"
            )

    def _report_model(self) -> None:
        file = self.folder / "model.etag"
        if file.exists():
            self.held_task.update_status(model_etag=file.read_text())

    async def _wait_for_exit(self) -> Exit:
        """Wait until the container exits; stop it if its health check gives up."""
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
            await asyncio.Event().wait()  # it has exited: the other task reports how
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
                self._set_healthy(detail=self._openapi_problem)
            elif failures >= UNHEALTHY_AFTER:
                self._set_unhealthy(probe.not_ready_reason)
            if clock() - last_ready > limit:
                raise TaskFailed("hung", f"it was unhealthy for {limit:g} s: {probe.not_ready_reason}")

    async def _wait_until_ready(self) -> HealthProbe:
        host, port = await self.context.runtime.get_address(self.lease.container_name, self.lease.spec["port"])
        probe, polls = HealthProbe(host, port, "/readyz", self._headers), 0
        while not await probe.is_ready():
            polls += 1
            await asyncio.sleep(FAST_PROBE_S if polls < FAST_PROBES else SLOW_PROBE_S)
        openapi, self._openapi_problem = await self._fetch_openapi(f"http://{host}:{port}/openapi.json")
        self._set_healthy(detail=self._openapi_problem, endpoint={"host": host, "port": port}, openapi=openapi)
        return probe

    def _set_healthy(self, **status: Any) -> None:
        if not self._is_healthy:
            log.get("worker").info("Instance ready", component=self.lease.spec["component"], **self.lease.log_fields)
        self._is_healthy = True
        self.held_task.update_status(state="healthy", **status)

    def _set_unhealthy(self, why: str | None) -> None:
        if self._is_healthy:
            fields = {"component": self.lease.spec["component"], **self.lease.log_fields}
            log.get("worker").warning("Instance unhealthy", why=why, **fields)
        self._is_healthy = False
        self.held_task.update_status(state="unhealthy", detail=why)

    async def _fetch_openapi(self, url: str) -> tuple[dict[str, Any] | None, str | None]:
        """Return its OpenAPI document, or why it has no valid one; it serves either way."""
        try:
            return await openapi_client.fetch_openapi(self.context.peers.session, url, self._headers), None
        except openapi_client.InvalidOpenapi as error:
            log.get("worker").warning(
                "Invalid OpenAPI document", task=self.lease.task, component=self.lease.spec["component"], why=str(error)
            )
            return None, f"invalid /openapi.json: {error}"


def exit_failure(exit_info: Exit, tail: list[str]) -> TaskFailed:
    status = {"signal": exit_info.signal} if exit_info.signal else {"exit_code": exit_info.code}
    if exit_info.oom:
        return TaskFailed("exited", exit_info.oom_message, oom=True, **status)
    if program := find_missing_program(exit_info, tail):
        return TaskFailed("exited", NO_PYTHON_MESSAGE.format(program), **status)
    detail = next((line for line in reversed(tail) if line.strip()), "it ended")
    return TaskFailed("exited", detail, **status)
