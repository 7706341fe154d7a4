"""Containers of a Docker Engine. They outlive the worker: the next one finds them by their labels."""

from __future__ import annotations

import asyncio
import math
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from aiodocker.containers import DockerContainer

from libs.common.errors import Conflict, MeshError, NotFound, TimedOut, Unavailable
from libs.common.settings import Settings
from services.worker.permissions import open_own
from services.worker.runtime import CannotRun, Container, Exit, Progress
from services.worker.runtime.docker import link_local
from services.worker.runtime.docker.bundle import Bundle
from services.worker.runtime.docker.client import CALL_S, Refused, answered, labelled, open_engine, steady
from services.worker.runtime.docker.container_config import document, temporary
from services.worker.runtime.docker.gateway_check import Reach, Way
from services.worker.runtime.docker.images import Images
from services.worker.runtime.docker.log_stream import followed
from services.worker.runtime.docker.networks import Networks
from services.worker.runtime.docker.sandbox_pool import Sandboxes
from services.worker.runtime.docker.scratch import check_same_path, mixed, reclaim
from services.worker.runtime.spec import ContainerSpec

AGAIN_S = 0.5
"""Pause before a long call is made again after the engine went away."""
POLL_S = 0.02
NO_NETWORK = "none"
ABORTED = 255
"""The engine's word for a container of which it does not know how it ended."""


class DockerRuntime:
    def __init__(self, settings: Settings, worker: str, installation: str) -> None:
        self._settings, self._worker, self._installation = settings, worker, installation
        self._stack = AsyncExitStack()
        self._watched: dict[str, bool] = {}
        """Containers that ran when this worker looked; whether the engine was never away since."""

    async def __aenter__(self) -> Self:
        self._docker = await self._stack.enter_async_context(open_engine(self._settings.runtime))
        self._images = Images(self._docker)
        self._networks = Networks(self._docker, self._settings, self._installation)
        self._sandboxes = Sandboxes(self._docker, self._worker, self._installation, self._settings.worker_slots)
        self._bundle = Bundle(self._docker)
        self._reach = Reach(self._docker, self._installation)
        await self._networks.open()
        await self._sandboxes.open()
        self._memory = await self._share()
        await link_local.settle(self._docker, self._settings.app_subnets, allowed=self._settings.link_local)
        if worker := await self._networks.worker():
            check_same_path(worker, self._settings.scratch_folder)
        return self

    async def _share(self) -> int:
        """Bytes of memory for a container whose manifest says none: no single one takes all that the host has."""
        if self._settings.task_memory:
            return self._settings.task_memory
        told = await answered(self._docker.system.info())
        return int(told["MemTotal"]) // self._settings.worker_slots

    async def __aexit__(self, *error: object) -> None:
        await self._sandboxes.close()
        await self._networks.close()
        await self._stack.aclose()

    async def ready(self) -> None:
        await answered(self._docker.version())

    async def reached(self) -> None:
        self._reach.check()

    async def prepare(self, spec: ContainerSpec, progress: Progress) -> str:
        image = await self._images.have(spec.image, progress, spec.login)
        progress(f"{spec.image} is {image}")
        return image

    async def start(self, spec: ContainerSpec) -> None:
        try:
            await self._start(spec)
        except MeshError as error:
            if error.retryable or isinstance(error, CannotRun):
                raise
            raise CannotRun("image" if spec.serves else "error", f"it cannot be started: {error.detail}") from error

    async def wait(self, name: str) -> Exit:
        """An engine that stops, or a host that restarts, ends what it runs: such an end is not the container's own."""
        while True:
            if self._watched.get(name):
                try:
                    await answered(self._named(name).wait(), None)
                except (Unavailable, NotFound):
                    self._watched[name] = False
                    await asyncio.sleep(AGAIN_S)
            shown = await self._show(name)
            state = shown["State"]
            if state["Status"] in ("exited", "dead"):
                ended = terminal(state, shown["HostConfig"]["Memory"])
                if not (ended.good or ended.oom) and not await self._own(name, ended):
                    raise CannotRun("lost", "its container ended while the Docker Engine or the worker was away")
                return ended
            if state["Status"] == "created":
                raise CannotRun("error", f"{name} was never started")
            self._watched[name] = True

    async def stop(self, name: str, grace_s: float) -> None:
        seconds = math.ceil(grace_s)
        try:
            await answered(self._named(name).stop(t=seconds), seconds + CALL_S)
        except NotFound:
            return

    async def remove(self, name: str) -> None:
        self._watched.pop(name, None)
        try:
            await answered(self._named(name).delete(force=True, v=True))
        except NotFound:
            pass
        except Conflict:  # its removal is in progress
            await self._gone(name)
        self._sandboxes.give(name)

    async def listed(self) -> list[Container]:
        labels = (f"mlmesh.installation={self._installation}", f"mlmesh.worker={self._worker}")
        found = [one._container for one in await labelled(self._docker, *labels)]
        return [
            Container(one["Names"][0].lstrip("/"), one["Labels"], one["State"] == "running")
            for one in found
            if one["State"] != "created"  # never started: whoever made it died in between
        ]

    async def address(self, name: str, port: int) -> tuple[str, int]:
        while True:
            found = await self._show(name)
            if not found["State"]["Running"]:
                raise CannotRun("error", "it ended before it served")
            if endpoint := reached(found["NetworkSettings"], port, self._settings.worker_advertise):
                return endpoint
            await asyncio.sleep(POLL_S)

    async def logs(self, name: str, offset: int) -> AsyncIterator[bytes]:
        """The engine keeps no offsets: what was read before is read again and dropped."""
        given = offset
        while True:
            skip = given
            try:
                async for piece in followed(self._docker, name):
                    new, skip = piece[skip:], max(0, skip - len(piece))
                    given += len(new)
                    if new:
                        yield new
                if not (await self._show(name))["State"]["Running"]:
                    return
            except Unavailable:
                await asyncio.sleep(AGAIN_S)

    async def reclaim(self, name: str, folder: Path) -> None:
        await asyncio.to_thread(open_own, folder)
        if not await asyncio.to_thread(mixed, folder):
            return
        worker = await self._networks.worker()
        image = worker.image if worker else (await self._show(name))["Image"]
        await reclaim(self._docker, image, folder)
        await asyncio.to_thread(open_own, folder)

    async def mesh_url(self, app: str, *, egress: bool = True) -> str:
        return await self._networks.mesh_url(app, inner=not egress)

    async def gateway_url(self, app: str) -> str:
        """A worker that is a container is in the app's network, as the gateway is."""
        return await self.mesh_url(app) if await self._networks.worker() else self._settings.public_url

    async def converge(self) -> None:
        for gone in await self._networks.converge():
            self._reach.forget(gone)
        await self._sandboxes.converge()
        await self._reach.step()

    async def close(self, *, leave: bool) -> None:
        if not leave:
            await asyncio.gather(*(self.stop(one.name, CALL_S) for one in await self.listed() if one.running))

    async def _start(self, spec: ContainerSpec) -> None:
        """A stage joins a sandbox if there is one; if that is no good, it begins anew with another, or without."""
        network = await self._network(spec)
        joins = not spec.serves and network != NO_NETWORK
        sandbox = self._sandboxes.take(spec.name, network, spec.app) if joins else None
        try:
            await self._begin(spec, network if sandbox is None else f"container:{sandbox.id}")
        except (NotFound, Conflict, Refused) as error:
            if sandbox is None and network in error.detail:
                self._networks.forget()  # it was removed a moment ago
            elif sandbox is None or await self._sandboxes.stands(spec.name):
                raise
            await self.remove(spec.name)
            await self._start(spec)

    async def _begin(self, spec: ContainerSpec, network: str) -> None:
        bundle = await self._bundle.ensure(spec.identity or spec.image) if spec.serves else None
        if not spec.serves:
            temporary(spec).mkdir(parents=True, exist_ok=True)
            temporary(spec).chmod(0o1777)
        spec = replace(spec, memory=spec.memory or self._memory)
        wanted = document(spec, network=network, bundle=bundle, advertise=self._settings.worker_advertise)
        try:
            await answered(self._docker.containers.create(wanted, name=spec.name))
        except Conflict:
            if (await self._show(spec.name))["State"]["Status"] != "created":
                return  # it was started before
            if spec.name in self._watched:  # half of a start may have been done, and its command have begun
                raise CannotRun("lost", "the Docker Engine went away while its container was started") from None
        self._watched[spec.name] = False
        await answered(self._named(spec.name).start())
        self._watched[spec.name] = True
        if spec.serves and spec.command:
            way = Way(spec.app, network, spec.env["MLMESH_URL"])
            self._reach.want(way, spec.identity or spec.image, spec.command[0])

    async def _network(self, spec: ContainerSpec) -> str:
        """A stage without egress has no network; a component is reached by the gateway in one that leads nowhere."""
        if not spec.egress and not spec.serves:
            return NO_NETWORK
        if not spec.egress and self._settings.worker_advertise:
            raise CannotRun("error", "egress: none cannot be had where ports are published (MLMESH_WORKER_ADVERTISE)")
        return (await self._networks.ensure(spec.app, inner=not spec.egress)).name

    async def _own(self, name: str, ended: Exit) -> bool:
        """Whether a bad end is the container's own doing."""
        watched = self._watched.get(name)
        if watched is None:  # it ended before this worker looked: with the host, perhaps
            return ended.signal is None and ended.code != ABORTED
        return watched and await steady(self._settings.runtime)

    def _named(self, name: str) -> DockerContainer:
        return self._docker.containers.container(name)

    async def _show(self, name: str) -> dict[str, Any]:
        """Raises CannotRun when there is none; waits for an engine that is away."""
        while True:
            try:
                return await answered(self._named(name).show())
            except NotFound as error:
                raise CannotRun("lost", f"the engine has no container {name}") from error
            except (Unavailable, TimedOut):
                if name in self._watched:
                    self._watched[name] = False
                await asyncio.sleep(AGAIN_S)

    async def _gone(self, name: str) -> None:
        async with asyncio.timeout(CALL_S):
            while True:
                try:
                    await answered(self._named(name).show())
                except NotFound:
                    return
                await asyncio.sleep(POLL_S)


def terminal(state: dict[str, Any], memory: int) -> Exit:
    """What inspect says of an ended container; codes from 129 on are how a shell and the engine write a signal."""
    code = int(state["ExitCode"])
    oom = bool(state["OOMKilled"]) and code != 0  # else a child was killed, and the command went on well without it
    number = code - 128 if 128 < code < 128 + signal.NSIG else None
    return Exit(code if number is None else None, number, oom, memory=memory if oom else None)


def reached(network: dict[str, Any], port: int, advertise: str | None) -> tuple[str, int] | None:
    """Where `port` answers: published on the advertised address, else at the container's own; None while unknown."""
    if advertise:
        published = (network["Ports"] or {}).get(f"{port}/tcp")
        return (advertise, int(published[0]["HostPort"])) if published else None
    addresses = [one["IPAddress"] for one in network["Networks"].values() if one["IPAddress"]]
    return (addresses[0], port) if addresses else None
