"""Builds images on the engine: by its own command with BuildKit, else by the classic builder of its API."""

from __future__ import annotations

import asyncio
import os
from typing import cast

from aiodocker import Docker

from libs.common.errors import NotFound
from libs.common.process_group import end_process_group
from services.worker.runtime import RuntimeFailure
from services.worker.runtime.docker.build_command import BuildCommand, build_environment
from services.worker.runtime.docker.classic_builder import ClassicBuilder
from services.worker.runtime.docker.client import call_engine
from services.worker.runtime.docker.engine_api import ImageDetails
from services.worker.runtime.image_build import ImageBuild, Output

READ_BYTES = 64 * 1024
STOP_GRACE_S = 5.0
"""After SIGTERM the command tells the engine to stop; then it and its children are killed."""
NO_SECRETS = (
    "this engine cannot keep build secrets out of the image; install Docker's buildx plugin beside the worker,"
    " or build without secrets"
)


class Builder:
    def __init__(self, docker: Docker, engine: str, command: BuildCommand | None, memory: int) -> None:
        """`engine`: its address; `command`: None for the classic builder, whose steps get `memory` bytes."""
        self._docker, self._engine, self._command = docker, engine, command
        self._classic = ClassicBuilder(docker, memory)

    @property
    def has_buildkit(self) -> bool:
        """Whether builds have caches and secrets."""
        return self._command is not None

    async def build(self, build: ImageBuild, output: Output) -> str:
        """Return the image's id. Raises RuntimeFailure("build")."""
        if self._command is not None:
            await self._run(self._command.list_arguments(build), output)
        elif build.secrets:
            raise RuntimeFailure("build", NO_SECRETS)
        else:
            await self._classic.build(build, output)
        return await self._get_id(build.tag)

    async def _get_id(self, tag: str) -> str:
        try:
            return cast(ImageDetails, await call_engine(self._docker.images.inspect(tag)))["Id"]
        except NotFound as error:
            raise RuntimeFailure("build", "the build ended without an image") from error

    async def _run(self, arguments: list[str], output: Output) -> None:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            env=build_environment(os.environ, self._engine),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101  requested above
        try:
            while piece := await process.stdout.read(READ_BYTES):
                output(piece)
            code = await process.wait()
        finally:
            await end_process_group(process, STOP_GRACE_S)
        if code:
            raise RuntimeFailure("build", f"the build ended with status {code}")
