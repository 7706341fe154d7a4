"""Sandboxes: containers that sleep in an app's network, and whose network namespace its stages join, one at a time.

To make a namespace and to take it down again is most of what a short container costs. None is waited for: a stage that
finds none at hand gets a namespace of its own, and one is made for those that come after it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiodocker import Docker

from libs.common import log
from libs.common.errors import Conflict, MeshError, NotFound
from services.worker.runtime.docker import pause_image
from services.worker.runtime.docker.client import answered, import_image, labelled

REPOSITORY, TAG = "mlmesh/sandbox", "1"
IMAGE = f"{REPOSITORY}:{TAG}"
IDLE_S = 300.0
"""How long one is kept for the next stage; less than `networks.UNUSED_S`, for it is in a network."""
CLOSE_S = 5.0
"""What is left after that the next worker of this name removes."""


@dataclass(frozen=True)
class Sandbox:
    id: str
    network: str


class Sandboxes:
    """`most`: of how many that nobody uses are kept."""

    def __init__(self, docker: Docker, worker: str, installation: str, most: int) -> None:
        self._docker, self._most = docker, most
        self._labels = {"mlmesh.installation": installation, "mlmesh.sandbox": worker}
        self._idle: dict[Sandbox, float] = {}
        """Since when, the longest first."""
        self._taken: dict[str, Sandbox] = {}
        """By the container that has joined it."""
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._possible = False

    async def open(self) -> None:
        self._possible = (await answered(self._docker.version()))["Arch"] == pause_image.ARCHITECTURE

    def take(self, container: str, network: str, app: str) -> Sandbox | None:
        """For this container alone until `give`; the same when asked again. None: there is none at hand."""
        if container not in self._taken:
            found = next((one for one in reversed(self._idle) if one.network == network), None)
            if found is None:
                if self._possible:
                    self._begin(lambda: self._one_more(network, app))
                return None
            del self._idle[found]
            self._taken[container] = found
        return self._taken[container]

    def give(self, container: str) -> None:
        """The container is gone."""
        if sandbox := self._taken.pop(container, None):
            self._idle[sandbox] = time.monotonic()
            if len(self._idle) > self._most:
                oldest = next(iter(self._idle))
                del self._idle[oldest]
                self._begin(lambda: self._remove(oldest))

    async def stands(self, container: str) -> bool:
        """Whether what the container has joined is still there; if not, it joins no other."""
        sandbox = self._taken[container]
        try:
            found = await answered(self._docker.containers.container(sandbox.id).show())
        except NotFound:
            found = {"State": {"Running": False}}
        if not found["State"]["Running"]:
            del self._taken[container]
            self._begin(lambda: self._remove(sandbox))
        return bool(found["State"]["Running"])

    async def converge(self) -> None:
        """Those that nobody has used for long go, those that have ended, and those of an earlier worker."""
        async with self._changing:
            listed = await labelled(self._docker, *(f"{name}={value}" for name, value in self._labels.items()))
            label = f"mlmesh.installation={self._labels['mlmesh.installation']}"
            joined = {one._container["HostConfig"]["NetworkMode"] for one in await labelled(self._docker, label)}
            ours = {one.id: one for one in (*self._idle, *self._taken.values())}
            for one in listed:
                identity, running = one._container["Id"], one._container["State"] == "running"
                kept = identity in ours or f"container:{identity}" in joined
                if not (running and kept):
                    await self._remove(ours.get(identity, Sandbox(identity, "")))
            for sandbox, since in list(self._idle.items()):
                if time.monotonic() - since > IDLE_S:
                    await self._remove(sandbox)

    async def close(self) -> None:
        """What nobody uses goes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await asyncio.gather(*(self._remove(one) for one in self._idle), return_exceptions=True)

    def _begin(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except MeshError as error:
            log.get("worker").info("no sandbox", why=error.detail)

    async def _one_more(self, network: str, app: str) -> None:
        """Unless there is one by now: as many are made as stages run at once."""
        async with self._changing:
            if any(one.network == network for one in self._idle):
                return
            document: dict[str, Any] = {
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
            await have_image(self._docker)
            name = f"mlmesh-sandbox-{secrets.token_hex(8)}"
            container = await answered(self._docker.containers.create(document, name=name))
            sandbox = Sandbox(container.id, network)
            try:
                await answered(container.start())
            except BaseException:
                await asyncio.shield(self._remove(sandbox))
                raise
            self._idle[sandbox] = time.monotonic()

    async def _remove(self, sandbox: Sandbox) -> None:
        self._idle.pop(sandbox, None)
        try:
            await answered(self._docker.containers.container(sandbox.id).delete(force=True))
        except (NotFound, Conflict):
            return  # it is gone, or going


async def have_image(docker: Docker) -> None:
    """The image of sandboxes is on the engine."""
    try:
        await answered(docker.images.inspect(IMAGE))
    except NotFound:
        await answered(import_image(docker, REPOSITORY, TAG, pause_image.image()))
