"""Docker client: every call has a timeout, and errors of the engine become errors of this project."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import aiohttp
from aiodocker import Docker, DockerError
from aiodocker.containers import DockerContainer
from aiodocker.types import JSONObject

from libs.common.errors import Conflict, MeshError, NotFound, TimedOut, Unavailable
from services.worker.runtime.docker.engine_api import ContainerConfig, ContainerDetails, NetworkDetails

CALL_TIMEOUT_S = 30.0
"""Timeout of one call; a start on a busy host takes seconds."""
CONNECT_TIMEOUT_S = 2.0
DEFAULT_ENGINE = "unix:///var/run/docker.sock"
NO_ENGINE = 900
"""Status that the library reports if no engine responds."""
ERRORS_BY_STATUS: dict[int, type[MeshError]] = {404: NotFound, 409: Conflict, 503: Unavailable, NO_ENGINE: Unavailable}
ENGINE_STARTING = re.compile(r"containerd\.sock|context canceled|transport is closing|ttrpc: closed", re.IGNORECASE)
"""Errors of an engine that is starting or stopping."""

T = TypeVar("T")


class ClosingDocker(Docker):
    """aiodocker leaks the connection of a response whose reading is cancelled."""

    @asynccontextmanager
    async def _query(self, path: Any, method: str = "GET", **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        response = await self._do_query(path, method, **options)
        try:
            yield response
        finally:
            response.close()  # a no-op after the whole response was read


class EngineRefused(MeshError):
    """The Docker Engine rejected the request."""


def engine_address(runtime: str) -> str:
    """Parse the engine's address after `docker://`: empty, a socket path, host and port, or a full address."""
    location = runtime.partition("://")[2]
    if not location:
        return os.environ.get("DOCKER_HOST") or DEFAULT_ENGINE
    if "://" in location:
        return location
    return f"unix://{location}" if location.startswith("/") else f"tcp://{location}"


@asynccontextmanager
async def open_engine(runtime: str) -> AsyncIterator[Docker]:
    """Raises Unavailable if no engine responds."""
    address = engine_address(runtime)
    async with _open_client(address) as docker:
        try:
            await call_engine(docker.version())
        except MeshError as error:
            raise Unavailable(f"no Docker Engine answers at {address}; is it running, and may you use it?") from error
        yield docker


async def accepts_connections(runtime: str) -> bool:
    """Whether it accepts new connections: a stopping engine does not, but still reports the containers it stops."""
    try:
        async with _open_client(engine_address(runtime)) as docker:
            await call_engine(docker.version(), CONNECT_TIMEOUT_S)
    except (Unavailable, TimedOut):
        return False
    return True


@asynccontextmanager
async def _open_client(address: str) -> AsyncIterator[Docker]:
    scheme, _, path = address.partition("://")
    if scheme != "unix":
        async with ClosingDocker(address) as docker:
            yield docker
        return
    # Each running container holds two connections open (log and wait): no limit.
    async with (
        aiohttp.UnixConnector(path, limit=0) as connector,
        ClosingDocker("unix://localhost", connector) as docker,
    ):
        yield docker


async def call_engine(call: Awaitable[T], timeout: float | None = CALL_TIMEOUT_S) -> T:
    """Await a call of the engine. Raises NotFound, Conflict, Unavailable, TimedOut, or EngineRefused."""
    try:
        async with asyncio.timeout(timeout):
            return await call
    except DockerError as error:
        raise translate_error(error) from error
    except TimeoutError as error:
        raise TimedOut("the Docker Engine did not respond in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"cannot reach the Docker Engine: {error}") from error


def translate_error(error: DockerError) -> MeshError:
    """Translate an error of the engine or the library."""
    if error.status >= 500 and ENGINE_STARTING.search(error.message):
        return Unavailable(f"the Docker Engine is not ready: {error.message}")
    return ERRORS_BY_STATUS.get(error.status, EngineRefused)(error.message)


async def create_container(docker: Docker, config: ContainerConfig, name: str | None = None) -> DockerContainer:
    return await call_engine(docker.containers.create(cast(JSONObject, config), name=name))


async def inspect_container(docker: Docker, name: str) -> ContainerDetails:
    return cast(ContainerDetails, await call_engine(docker.containers.container(name).show()))


async def inspect_network(docker: Docker, name: str) -> NetworkDetails:
    return cast(NetworkDetails, await call_engine((await call_engine(docker.networks.get(name))).show()))


async def list_networks(docker: Docker, label: str | None = None) -> list[NetworkDetails]:
    filters = {"label": label} if label else None
    return cast(list[NetworkDetails], await call_engine(docker.networks.list(filters=filters)))


async def list_containers(docker: Docker, *labels: str, running: bool = False) -> list[DockerContainer]:
    """List the containers that have all of `labels` (`key=value`)."""
    filters = {"label": list(labels), **({"status": ["running"]} if running else {})}
    return await call_engine(docker.containers.list(all=int(not running), filters=json.dumps(filters)))


async def import_image(docker: Docker, repository: str, tag: str, files: bytes) -> None:
    """Create an image from a tar archive; the library has no call for it."""
    params = {"fromSrc": "-", "repo": repository, "tag": tag}
    headers = {"Content-Type": "application/x-tar"}
    async with docker._query("images/create", "POST", params=params, headers=headers, data=files) as response:
        await response.read()
