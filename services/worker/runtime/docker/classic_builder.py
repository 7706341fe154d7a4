"""The classic builder of the Docker API, for hosts without a client that has BuildKit: no caches, no secrets."""

from __future__ import annotations

import asyncio
import json
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any, cast

import aiohttp
from aiodocker import Docker, DockerError

from services.worker.runtime import RuntimeFailure
from services.worker.runtime.docker.client import NO_ENGINE
from services.worker.runtime.image_build import ImageBuild, Output

WRITTEN_DOCKERFILE = ".mlmesh.Dockerfile"
"""The name in the archive of a Dockerfile that is not in the folder."""
NO_LIMIT = aiohttp.ClientTimeout()
"""The task has a timeout."""
BuildEvent = Mapping[str, object]


class ClassicBuilder:
    def __init__(self, docker: Docker, memory: int) -> None:
        """`memory`: bytes that a step of a build may take."""
        self._docker, self._memory = docker, memory

    async def build(self, build: ImageBuild, output: Output) -> None:
        """Raises RuntimeFailure("build")."""
        with tempfile.TemporaryFile() as archive:
            name = await asyncio.to_thread(_write_archive, build, archive)
            async for event in self._stream(archive, self._list_options(build, name)):
                if text := event.get("stream") or event.get("error"):
                    output(str(text).encode())
                if error := event.get("error"):
                    output(b"\n")
                    raise RuntimeFailure("build", str(error))

    def _list_options(self, build: ImageBuild, dockerfile: str) -> dict[str, Any]:
        options = {"dockerfile": dockerfile, "t": build.tag, "rm": "1", "forcerm": "1"}
        limits = {"memory": str(self._memory), "memswap": str(self._memory)}
        network = {} if build.has_network else {"networkmode": "none"}
        documents = {"buildargs": json.dumps(dict(build.args)), "labels": json.dumps(dict(build.labels))}
        return {**options, **limits, **network, **documents}

    async def _stream(self, archive: IO[bytes], options: dict[str, Any]) -> AsyncIterator[BuildEvent]:
        headers = {"Content-Type": "application/x-tar"}
        try:
            async with self._docker._query(
                "build", "POST", params=options, headers=headers, data=archive, timeout=NO_LIMIT
            ) as response:
                async for line in response.content:
                    yield cast(BuildEvent, json.loads(line))
        except DockerError as error:
            raise RuntimeFailure("lost" if error.status == NO_ENGINE else "build", error.message) from error
        except aiohttp.ClientError as error:
            raise RuntimeFailure("lost", f"the build was interrupted: {error}") from error


def _write_archive(build: ImageBuild, archive: IO[bytes]) -> str:
    """Write the folder and its Dockerfile. Returns the Dockerfile's name in it."""
    is_inside = build.dockerfile.is_relative_to(build.context)
    name = build.dockerfile.relative_to(build.context).as_posix() if is_inside else WRITTEN_DOCKERFILE
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(build.context, arcname=".")
        if not is_inside:
            tar.add(build.dockerfile, arcname=name)
    archive.seek(0)
    return name
