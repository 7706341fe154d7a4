"""Builds an image from a folder of the deployed commit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from libs.common.build_files import read_build_files
from libs.common.dockerfile import DOCKERFILE, Recipe, UnwritableDockerfile, write_dockerfile
from libs.common.dockerfile_frontend import find_foreign_frontend
from libs.common.protocol.build import BuildSpec
from libs.common.python_packages import InvalidProject
from services.worker.context import WorkerContext, throttle_progress
from services.worker.failures import TaskFailed
from services.worker.files import build_context
from services.worker.files.build_log import BuildLog
from services.worker.files.log_uploader import LogUploader
from services.worker.held_tasks import HeldTask
from services.worker.outcome import Outcome
from services.worker.runtime import RuntimeFailure
from services.worker.runtime.image_build import APP_LABEL, KEY_LABEL, MESH_LABEL, ImageBuild
from services.worker.runtime.spec import Secrets
from services.worker.work.build_output import find_cause, find_progress
from services.worker.work.image import RETRY_DELAYS_S, retry_passing
from services.worker.work.monitoring import follow_log_and_progress

FAILURE = "build"
FOREIGN_FRONTEND = 'the Dockerfile has the syntax "{}"; only docker/dockerfile can be built here: remove the line'


class Build:
    def __init__(self, context: WorkerContext, held_task: HeldTask, spec: BuildSpec) -> None:
        self.context, self.held_task, self.lease, self.spec = context, held_task, held_task.lease, spec
        self.folder = context.task_folder(held_task.lease)
        self.output = BuildLog(self.folder / "build.log")
        self.log = LogUploader(held_task, self.folder, self.output, context.peers)

    async def run(self, *, adopted: bool) -> Outcome:
        """Raises TaskFailed, RuntimeFailure. An adopted one begins again: the engine keeps the steps that it has."""
        try:
            async with self.context.checkouts.borrow(self.lease.app, self.spec.commit) as checkout:
                build = await self._prepare(checkout)
                self.held_task.update_status(state="running", detail=None)
                async with follow_log_and_progress(self.log, self.held_task):
                    image = await self._build_within_timeout(build)
        finally:
            self.output.end()
        engine = None if build.repository else self.context.runtime.engine
        return Outcome("succeeded", image=image, engine=engine, log_tail=self.log.read_tail())

    async def _prepare(self, checkout: Path) -> ImageBuild:
        folder = await asyncio.to_thread(build_context.find_context, checkout, self.spec.context)
        secrets = await self.context.fetch_secrets(self.held_task, self.spec.secrets)
        dockerfile = await asyncio.to_thread(self._find_dockerfile, folder, secrets)
        mesh = self.context.installation
        return ImageBuild(
            app=self.lease.app,
            context=folder,
            dockerfile=dockerfile,
            tag=f"mlmesh-{mesh}/{self.lease.app}:{self.spec.key}",
            labels={APP_LABEL: self.lease.app, KEY_LABEL: self.spec.key, MESH_LABEL: mesh},
            args=self.spec.args,
            secrets=await asyncio.to_thread(self._write_secrets, secrets),
            has_network=self.spec.network != "none",
            repository=self.spec.repository,
        )

    def _find_dockerfile(self, folder: Path, secrets: Secrets) -> Path:
        """The folder's own, else a written one. Raises TaskFailed."""
        existing = folder / (self.spec.dockerfile or DOCKERFILE)
        if existing.is_file():
            if frontend := find_foreign_frontend(existing.read_bytes()):
                raise TaskFailed(FAILURE, FOREIGN_FRONTEND.format(frontend))
            return existing
        if self.spec.dockerfile is not None:
            raise TaskFailed(FAILURE, f'there is no file "{self.spec.dockerfile}" in the folder "{self.spec.context}"')
        recipe = Recipe(self.spec.base, self.spec.packages, secrets, mounts=self.context.runtime.has_buildkit)
        try:
            text = write_dockerfile(read_build_files(folder), recipe)
        except (UnwritableDockerfile, InvalidProject) as error:
            raise TaskFailed(FAILURE, str(error)) from error
        written = self.folder / DOCKERFILE
        written.write_text(text)
        self.output.write(f"{text}\n".encode())
        return written

    def _write_secrets(self, secrets: Secrets) -> Mapping[str, Path]:
        """Files that this user alone reads; they go with the task's folder."""
        files = {}
        for name, values in secrets.items():
            for key, value in values.items():
                file = self.folder / "secrets" / name / key
                file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                file.touch(mode=0o600)
                file.write_text(value)
                files[f"{name}/{key}"] = file
        return files

    async def _build_within_timeout(self, build: ImageBuild) -> str:
        show = throttle_progress(lambda line: self.held_task.update_status(detail=line))

        def take(piece: bytes) -> None:
            self.output.write(piece)
            if line := find_progress(piece):
                show(line)

        try:
            async with asyncio.timeout(self.spec.timeout):
                return await retry_passing(
                    lambda: self.context.runtime.build_image(self.lease.container_name, build, take),
                    RETRY_DELAYS_S,
                    lambda line: take(f"{line}\n".encode()),
                )
        except TimeoutError as error:
            raise TaskFailed("timeout", f"it took longer than its timeout of {self.spec.timeout:g} s") from error
        except RuntimeFailure as failure:
            if failure.code == "lost":
                raise
            self.output.end()
            await self.log.wait_until_sent()
            cause = find_cause(self.log.read_tail()) if failure.code == FAILURE else None
            raise TaskFailed(FAILURE, cause or failure.detail) from failure
        finally:
            self.output.end()
