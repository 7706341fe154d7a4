"""Runs an instance of a component: downloads the model, starts the container, monitors its health until it exits."""

from __future__ import annotations

import asyncio

from libs.common.protocol.instance import InstanceSpec
from libs.common.protocol.report import FailureDetails
from services.worker.context import WorkerContext
from services.worker.failures import TaskFailed
from services.worker.files.log_uploader import LogUploader
from services.worker.held_tasks import HeldTask
from services.worker.outcome import Outcome
from services.worker.runtime import Exit, RuntimeFailure
from services.worker.runtime.spec import build_instance_container
from services.worker.work.health import HealthMonitor
from services.worker.work.monitoring import STOP_GRACE_S, find_missing_program, follow_log_and_progress

MESH_URL_FILE = "mesh.url"
NO_PYTHON_MESSAGE = (
    'the image has no "{}"; a component needs Python 3.9 or later in its image, or mlService.python to say where it is'
)


class Instance:
    def __init__(self, context: WorkerContext, held_task: HeldTask, spec: InstanceSpec) -> None:
        self.context, self.held_task, self.lease, self.spec = context, held_task, held_task.lease, spec
        self.folder = context.task_folder(held_task.lease)
        self.log = LogUploader(held_task, self.folder, context.runtime, context.peers)

    async def run(self, *, adopted: bool) -> Outcome:
        """Never returns: any exit of an instance is a failure. Raises TaskFailed."""
        if adopted:
            await self._check_gateway_url()
        else:
            await self._start()
        async with follow_log_and_progress(self.log, self.held_task):
            exit_info = await self._wait_for_exit()
        raise exit_failure(exit_info, self.log.read_tail())

    async def _start(self) -> None:
        site = await self.context.build_site(self.lease)
        secrets = await self.context.fetch_secrets(self.held_task, self.spec.secrets)
        model = await self.context.models.get(self.lease.app, self.spec.model) if self.spec.model else None
        container = build_instance_container(self.lease, self.spec, site, model, secrets)
        (self.folder / MESH_URL_FILE).write_text(site.mesh_url)
        await self.context.prepare_and_start(self.held_task, container, self.spec.image_credentials)

    async def _check_gateway_url(self) -> None:
        """Compare the gateway's URL with the one it started with. Raises RuntimeFailure("lost") if it moved."""
        url_file = self.folder / MESH_URL_FILE
        if url_file.exists() and url_file.read_text() != (current := await self.context.mesh_url(self.lease)):
            raise RuntimeFailure(
                "lost", f"it was started with the gateway at {url_file.read_text()}, which is now at {current}"
            )

    async def _wait_for_exit(self) -> Exit:
        """Wait until the container exits; stop it if its health check gives up."""
        ended = asyncio.create_task(self.context.runtime.wait(self.lease.container_name))
        health = asyncio.create_task(HealthMonitor(self.context, self.held_task, self.spec).run())
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


def exit_failure(exit_info: Exit, tail: list[str]) -> TaskFailed:
    status: FailureDetails = {"signal": exit_info.signal} if exit_info.signal else {"exit_code": exit_info.code}
    if exit_info.oom:
        status["oom"] = True
        return TaskFailed("exited", exit_info.oom_message, **status)
    if program := find_missing_program(exit_info, tail):
        return TaskFailed("exited", NO_PYTHON_MESSAGE.format(program), **status)
    detail = next((line for line in reversed(tail) if line.strip()), "it ended")
    return TaskFailed("exited", detail, **status)
