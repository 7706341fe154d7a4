"""The runtime on a Docker Engine. Containers outlive the worker; the next one finds them by their labels."""

from __future__ import annotations

import asyncio
import hashlib
import math
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

from aiodocker.containers import DockerContainer

from libs.common.errors import Conflict, MeshError, NotFound, TimedOut, Unavailable
from libs.common.settings import Settings
from services.worker.permissions import grant_owner_access
from services.worker.runtime import Container, Exit, Progress, RuntimeFailure
from services.worker.runtime.docker import link_local
from services.worker.runtime.docker.build_command import find_build_command
from services.worker.runtime.docker.builder import Builder
from services.worker.runtime.docker.built_images import BuiltImages
from services.worker.runtime.docker.bundle import ComponentBundle
from services.worker.runtime.docker.client import (
    CALL_TIMEOUT_S,
    EngineRefused,
    accepts_connections,
    call_engine,
    create_container,
    engine_address,
    inspect_container,
    list_containers,
    open_engine,
)
from services.worker.runtime.docker.container_config import build_container_config, tmp_folder
from services.worker.runtime.docker.engine_api import ContainerDetails, ContainerState, NetworkSettings
from services.worker.runtime.docker.gateway_check import GatewayCheck, GatewayPath
from services.worker.runtime.docker.images import Images
from services.worker.runtime.docker.log_stream import follow_log
from services.worker.runtime.docker.networks import AppNetworks
from services.worker.runtime.docker.sandbox_pool import SandboxPool
from services.worker.runtime.docker.scratch import change_owner, check_same_path, has_foreign_files
from services.worker.runtime.image_build import BuiltImage, ImageBuild, Output
from services.worker.runtime.spec import ContainerSpec

RETRY_S = 0.5
"""Delay of a retry after the engine went away."""
POLL_S = 0.02
NO_NETWORK = "none"
EXIT_UNKNOWN = 255
"""Exit code that the engine reports if it does not know the real one."""


class DockerRuntime:
    def __init__(self, settings: Settings, worker: str, installation: str) -> None:
        self._settings, self._worker, self._installation = settings, worker, installation
        self._stack = AsyncExitStack()
        self._watched: dict[str, bool] = {}
        """Containers that this worker saw running; whether the engine was available ever since."""
        self._builds: dict[str, asyncio.Task[str]] = {}

    async def __aenter__(self) -> Self:
        self._docker = await self._stack.enter_async_context(open_engine(self._settings.runtime))
        self._images = Images(self._docker)
        self._networks = AppNetworks(self._docker, self._settings, self._installation)
        self._sandbox_pool = SandboxPool(self._docker, self._worker, self._installation, self._settings.worker_slots)
        self._bundle = ComponentBundle(self._docker)
        self._gateway_check = GatewayCheck(self._docker, self._installation)
        await self._networks.open()
        await self._sandbox_pool.open()
        info = await call_engine(self._docker.system.info())
        self.engine = identify_engine(info)
        self._built_images = BuiltImages(self._docker, self._installation, Path(str(info["DockerRootDir"])))
        self._memory_limit = self._settings.task_memory or int(info["MemTotal"]) // self._settings.worker_slots
        address = engine_address(self._settings.runtime)
        self._builder = Builder(self._docker, address, await find_build_command(), self._memory_limit)
        await link_local.apply_rules(self._docker, self._settings.app_subnets, allowed=self._settings.link_local)
        if worker := await self._networks.find_worker_container():
            check_same_path(worker, self._settings.scratch_folder)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._sandbox_pool.close()
        await self._networks.close()
        await self._stack.aclose()

    async def check_ready(self) -> None:
        await call_engine(self._docker.version())

    async def check_gateway(self) -> None:
        self._gateway_check.raise_if_unreachable()

    async def prepare(self, spec: ContainerSpec, progress: Progress) -> str:
        if spec.image is None:
            raise RuntimeFailure("image", "it names no image: set image.existingImageName in its manifest")
        login = spec.registry_login or self._get_login(spec.app, spec.image)
        image = await self._images.ensure_image(spec.image, progress, login)
        progress(f"{spec.image} is {image}")
        return image

    async def resolve_image(self, image: str, progress: Progress, login: Mapping[str, str] | None) -> str:
        return await self._images.resolve_image(image, progress, login)

    @property
    def has_buildkit(self) -> bool:
        return self._builder.has_buildkit

    async def build_image(self, name: str, build: ImageBuild, output: Output) -> str:
        task = self._builds[name] = asyncio.create_task(self._build_and_push(build, output))
        try:
            return await task
        except asyncio.CancelledError:
            if self._builds.get(name) is task:  # this call was cancelled
                raise
            raise RuntimeFailure("build", "it was stopped") from None
        finally:
            self._builds.pop(name, None)

    async def list_built_images(self) -> list[BuiltImage]:
        return await self._built_images.list_images()

    async def remove_image(self, image: str) -> None:
        await self._built_images.remove(image)

    async def is_disk_full(self) -> bool:
        return await self._built_images.is_disk_full()

    async def prune_build_cache(self) -> None:
        await self._built_images.prune_build_cache()

    async def _build_and_push(self, build: ImageBuild, output: Output) -> str:
        image = await self._builder.build(build, output)
        if build.repository is None:
            return image
        login = self._get_login(build.app, build.repository)
        return await self._images.push_image(image, build.repository, lambda line: output(f"{line}\n".encode()), login)

    def _get_login(self, app: str, image: str) -> Mapping[str, str] | None:
        """The mesh's own login, for images that were built for this app and for no others."""
        if not self._settings.images_login or not image.startswith(f"{self._settings.images}/{app}/"):
            return None
        username, _, password = self._settings.images_login.partition(":")
        return {"username": username, "password": password}

    async def start(self, spec: ContainerSpec) -> None:
        try:
            await self._start_in_network(spec)
        except MeshError as error:
            if error.retryable or isinstance(error, RuntimeFailure):
                raise
            raise RuntimeFailure(
                "image" if spec.is_component else "error", f"cannot start the container: {error.detail}"
            ) from error

    async def wait(self, name: str) -> Exit:
        """A stopping engine or a restarting host ends its containers: such an exit is `lost`, not a failure."""
        while True:
            if self._watched.get(name):
                try:
                    await call_engine(self._container(name).wait(), None)
                except (Unavailable, NotFound):
                    self._watched[name] = False
                    await asyncio.sleep(RETRY_S)
            details = await self._inspect(name)
            state = details["State"]
            if state["Status"] in ("exited", "dead"):
                exit_info = parse_exit(state, details["HostConfig"]["Memory"])
                if not (exit_info.success or exit_info.oom) and not await self._is_own_exit(name, exit_info):
                    raise RuntimeFailure("lost", "its container ended while the Docker Engine or the worker was away")
                return exit_info
            if state["Status"] == "created":
                raise RuntimeFailure("error", f"{name} was never started")
            self._watched[name] = True

    async def stop(self, name: str, grace_s: float) -> None:
        if (build := self._builds.pop(name, None)) is not None:
            build.cancel()
            await asyncio.wait([build])
        seconds = math.ceil(grace_s)
        try:
            await call_engine(self._container(name).stop(t=seconds), seconds + CALL_TIMEOUT_S)
        except NotFound:
            return

    async def remove(self, name: str) -> None:
        self._watched.pop(name, None)
        try:
            await call_engine(self._container(name).delete(force=True, v=True))
        except NotFound:
            pass
        except Conflict:  # removal is in progress
            await self._wait_until_removed(name)
        self._sandbox_pool.release(name)

    async def list_containers(self) -> list[Container]:
        labels = (f"mlmesh.installation={self._installation}", f"mlmesh.worker={self._worker}")
        containers = [container._container for container in await list_containers(self._docker, *labels)]
        return [
            Container(container["Names"][0].lstrip("/"), container["Labels"], container["State"] == "running")
            for container in containers
            if container["State"] != "created"  # its creator died before the start
        ]

    async def get_address(self, name: str, port: int) -> tuple[str, int]:
        while True:
            details = await self._inspect(name)
            if not details["State"]["Running"]:
                raise RuntimeFailure("error", "it exited before it was ready")
            if endpoint := published_address(details["NetworkSettings"], port, self._settings.worker_advertise):
                return endpoint
            await asyncio.sleep(POLL_S)

    async def follow_log(self, name: str, offset: int) -> AsyncIterator[bytes]:
        """The engine has no byte offsets: read from the start and skip."""
        position = offset
        while True:
            skip = position
            try:
                async for piece in follow_log(self._docker, name):
                    new, skip = piece[skip:], max(0, skip - len(piece))
                    position += len(new)
                    if new:
                        yield new
                if not (await self._inspect(name))["State"]["Running"]:
                    return
            except Unavailable:
                await asyncio.sleep(RETRY_S)

    async def take_ownership(self, name: str, folder: Path) -> None:
        await asyncio.to_thread(grant_owner_access, folder)
        if not await asyncio.to_thread(has_foreign_files, folder):
            return
        worker = await self._networks.find_worker_container()
        image = worker.image if worker else (await self._inspect(name))["Image"]
        await change_owner(self._docker, image, folder)
        await asyncio.to_thread(grant_owner_access, folder)

    async def mesh_url(self, app: str, *, egress: bool = True) -> str:
        return await self._networks.mesh_url(app, internal=not egress)

    async def gateway_url(self, app: str) -> str:
        """A worker container is connected to the app's network, as the gateway is."""
        return await self.mesh_url(app) if await self._networks.find_worker_container() else self._settings.public_url

    async def reconcile(self) -> None:
        for network in await self._networks.reconcile():
            self._gateway_check.forget_network(network)
        await self._sandbox_pool.reconcile()
        await self._gateway_check.run_once()

    async def close(self, *, detach: bool) -> None:
        if not detach:
            await asyncio.gather(
                *(
                    self.stop(container.name, CALL_TIMEOUT_S)
                    for container in await self.list_containers()
                    if container.running
                )
            )

    async def _start_in_network(self, spec: ContainerSpec) -> None:
        """A stage joins an idle sandbox if there is one; if that fails, it starts again with another, or without."""
        network = await self._network_for(spec)
        uses_sandbox = not spec.is_component and network != NO_NETWORK
        sandbox = self._sandbox_pool.acquire(spec.name, network, spec.app) if uses_sandbox else None
        try:
            await self._create_and_start(spec, network if sandbox is None else f"container:{sandbox.id}")
        except (NotFound, Conflict, EngineRefused) as error:
            if sandbox is None and network in error.detail:
                self._networks.clear_cache()  # it was just removed
            elif sandbox is None or await self._sandbox_pool.is_running(spec.name):
                raise
            await self.remove(spec.name)
            await self._start_in_network(spec)

    async def _create_and_start(self, spec: ContainerSpec, network: str) -> None:
        bundle = await self._bundle.ensure_volume(spec.image_reference) if spec.is_component else None
        if not spec.is_component:
            tmp_folder(spec).mkdir(parents=True, exist_ok=True)
            tmp_folder(spec).chmod(0o1777)
        spec = replace(spec, memory=spec.memory or self._memory_limit)
        config = build_container_config(spec, network=network, bundle=bundle, advertise=self._settings.worker_advertise)
        try:
            await create_container(self._docker, config, spec.name)
        except Conflict:
            if (await self._inspect(spec.name))["State"]["Status"] != "created":
                return  # it was already started
            if spec.name in self._watched:  # the interrupted start may have run the command
                raise RuntimeFailure("lost", "the Docker Engine went away while its container was started") from None
        self._watched[spec.name] = False
        await call_engine(self._container(spec.name).start())
        self._watched[spec.name] = True
        if spec.is_component and spec.command:
            path = GatewayPath(spec.app, network, spec.env["MLMESH_URL"])
            self._gateway_check.request_check(path, spec.image_reference, spec.command[0])

    async def _network_for(self, spec: ContainerSpec) -> str:
        """Without egress, a stage has no network, and a component an internal one, in which the gateway reaches it."""
        if not spec.egress and not spec.is_component:
            return NO_NETWORK
        if not spec.egress and self._settings.worker_advertise:
            raise RuntimeFailure(
                "error", "egress: none is not supported with published ports (MLMESH_WORKER_ADVERTISE)"
            )
        return (await self._networks.ensure_network(spec.app, internal=not spec.egress)).name

    async def _is_own_exit(self, name: str, exit_info: Exit) -> bool:
        """Whether the container caused its failure itself."""
        watched = self._watched.get(name)
        if watched is None:  # it exited before this worker started, perhaps with the host
            return exit_info.signal is None and exit_info.code != EXIT_UNKNOWN
        return watched and await accepts_connections(self._settings.runtime)

    def _container(self, name: str) -> DockerContainer:
        return self._docker.containers.container(name)

    async def _inspect(self, name: str) -> ContainerDetails:
        """Raises RuntimeFailure if it does not exist; waits for an engine that is unavailable."""
        while True:
            try:
                return await inspect_container(self._docker, name)
            except NotFound as error:
                raise RuntimeFailure("lost", f"the engine has no container {name}") from error
            except (Unavailable, TimedOut):
                if name in self._watched:
                    self._watched[name] = False
                await asyncio.sleep(RETRY_S)

    async def _wait_until_removed(self, name: str) -> None:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            while True:
                try:
                    await inspect_container(self._docker, name)
                except NotFound:
                    return
                await asyncio.sleep(POLL_S)


def identify_engine(info: Mapping[str, object]) -> str:
    """A short hash of what stays as long as the engine keeps its images: its id, its host and its folder."""
    parts = [str(info.get(name, "")) for name in ("ID", "Name", "DockerRootDir")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def parse_exit(state: ContainerState, memory: int) -> Exit:
    """Parse the exit from `docker inspect`; codes above 128 encode a signal, as in a shell."""
    code = int(state["ExitCode"])
    oom = bool(state["OOMKilled"]) and code != 0  # with 0 only a child was killed, and the command succeeded
    number = code - 128 if 128 < code < 128 + signal.NSIG else None
    return Exit(code if number is None else None, number, oom, memory=memory if oom else None)


def published_address(network: NetworkSettings, port: int, advertise: str | None) -> tuple[str, int] | None:
    """Return the address of `port`: published on the advertised host, else the container's own; None while unknown."""
    if advertise:
        published = (network["Ports"] or {}).get(f"{port}/tcp")
        return (advertise, int(published[0]["HostPort"])) if published else None
    addresses = [endpoint["IPAddress"] for endpoint in network["Networks"].values() if endpoint["IPAddress"]]
    return (addresses[0], port) if addresses else None
