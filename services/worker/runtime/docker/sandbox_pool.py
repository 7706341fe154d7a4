"""Pool of sandboxes (as in CRI): paused containers in an app's network, whose network namespace stages join.

Creating and deleting a namespace is most of the cost of a short container. Nothing waits for a sandbox: a stage that
finds none idle gets a namespace of its own, and a sandbox is created for the following stages.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from aiodocker import Docker

from libs.common import log
from libs.common.errors import Conflict, MeshError, NotFound
from services.worker.runtime.docker import pause_image
from services.worker.runtime.docker.client import (
    call_engine,
    create_container,
    import_image,
    inspect_container,
    list_containers,
)
from services.worker.runtime.docker.engine_api import ContainerConfig

REPOSITORY, TAG = "mlmesh/sandbox", "1"
IMAGE = f"{REPOSITORY}:{TAG}"
IDLE_S = 300.0
"""How long an idle sandbox is kept; less than `networks.UNUSED_AFTER_S`, because it is connected to a network."""
CLOSE_TIMEOUT_S = 5.0
"""The next worker of this name removes what remains after that."""


@dataclass(frozen=True)
class Sandbox:
    id: str
    network: str


class SandboxPool:
    """`max_idle`: how many idle sandboxes are kept."""

    def __init__(self, docker: Docker, worker: str, installation: str, max_idle: int) -> None:
        self._docker, self._max_idle = docker, max_idle
        self._labels = {"mlmesh.installation": installation, "mlmesh.sandbox": worker}
        self._idle: dict[Sandbox, float] = {}
        """Idle since, the oldest first."""
        self._acquired: dict[str, Sandbox] = {}
        """By the name of the container that has joined it."""
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._supported = False

    async def open(self) -> None:
        self._supported = (await call_engine(self._docker.version()))["Arch"] == pause_image.ARCHITECTURE

    def acquire(self, container: str, network: str, app: str) -> Sandbox | None:
        """Reserve a sandbox for a container until `release`; repeated calls return the same. None: no idle one."""
        if container not in self._acquired:
            sandbox = next((idle for idle in reversed(self._idle) if idle.network == network), None)
            if sandbox is None:
                if self._supported:
                    self._start_task(lambda: self._create_idle(network, app))
                return None
            del self._idle[sandbox]
            self._acquired[container] = sandbox
        return self._acquired[container]

    def release(self, container: str) -> None:
        """The container was removed: return its sandbox to the pool."""
        if sandbox := self._acquired.pop(container, None):
            self._idle[sandbox] = time.monotonic()
            if len(self._idle) > self._max_idle:
                oldest = next(iter(self._idle))
                del self._idle[oldest]
                self._start_task(lambda: self._remove_sandbox(oldest))

    async def is_running(self, container: str) -> bool:
        """Whether the sandbox of a container still runs; a dead one is removed."""
        sandbox = self._acquired[container]
        try:
            running = (await inspect_container(self._docker, sandbox.id))["State"]["Running"]
        except NotFound:
            running = False
        if not running:
            del self._acquired[container]
            self._start_task(lambda: self._remove_sandbox(sandbox))
        return running

    async def reconcile(self) -> None:
        """Remove sandboxes that were idle for long, have exited, or belong to an earlier worker."""
        async with self._lock:
            containers = await list_containers(
                self._docker, *(f"{name}={value}" for name, value in self._labels.items())
            )
            label = f"mlmesh.installation={self._labels['mlmesh.installation']}"
            joined = {
                container._container["HostConfig"]["NetworkMode"]
                for container in await list_containers(self._docker, label)
            }
            pool = {container.id: container for container in (*self._idle, *self._acquired.values())}
            for container in containers:
                identity, running = container._container["Id"], container._container["State"] == "running"
                in_use = identity in pool or f"container:{identity}" in joined
                if not (running and in_use):
                    await self._remove_sandbox(pool.get(identity, Sandbox(identity, "")))
            for sandbox, since in list(self._idle.items()):
                if time.monotonic() - since > IDLE_S:
                    await self._remove_sandbox(sandbox)

    async def close(self) -> None:
        """Remove idle sandboxes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.gather(*(self._remove_sandbox(sandbox) for sandbox in self._idle), return_exceptions=True)

    def _start_task(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(self._run_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_logged(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except MeshError as error:
            log.get("worker").info("Could not create sandbox container", why=error.detail)

    async def _create_idle(self, network: str, app: str) -> None:
        """Create one unless there is an idle one by now: their number follows the concurrent stages."""
        async with self._lock:
            if any(idle.network == network for idle in self._idle):
                return
            config: ContainerConfig = {
                "Image": IMAGE,
                "Entrypoint": [pause_image.PATH],
                "Labels": {**self._labels, "mlmesh.app": app},
                "HostConfig": {
                    "NetworkMode": network,
                    "CapDrop": ["ALL"],
                    "SecurityOpt": ["no-new-privileges:true"],
                    "ReadonlyRootfs": True,
                    "LogConfig": {"Type": "none"},
                },
            }
            await ensure_sandbox_image(self._docker)
            name = f"mlmesh-sandbox-{secrets.token_hex(8)}"
            container = await create_container(self._docker, config, name)
            sandbox = Sandbox(container.id, network)
            try:
                await call_engine(container.start())
            except BaseException:
                await asyncio.shield(self._remove_sandbox(sandbox))
                raise
            self._idle[sandbox] = time.monotonic()

    async def _remove_sandbox(self, sandbox: Sandbox) -> None:
        self._idle.pop(sandbox, None)
        try:
            await call_engine(self._docker.containers.container(sandbox.id).delete(force=True))
        except (NotFound, Conflict):
            return  # already removed, or being removed


async def ensure_sandbox_image(docker: Docker) -> None:
    """Import the pause image if the engine lacks it."""
    try:
        await call_engine(docker.images.inspect(IMAGE))
    except NotFound:
        await call_engine(import_image(docker, REPOSITORY, TAG, pause_image.image_archive()))
