"""Containers on a Docker engine, through aiodocker. Names and labels are written before anything starts.

Facts about an end (exit code, memory death) come from inspect, which answers long after the end as well.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Self
from urllib.parse import urlsplit

import aiodocker
import aiohttp

from libs.common.errors import Unavailable
from libs.common.settings import Settings
from services.worker.runtime import CannotRun, Container, Exit, Progress
from services.worker.runtime.bundle import fill, volume
from services.worker.runtime.networks import Networks
from services.worker.spec import ContainerSpec

CALL_TIMEOUT_S = 60.0
STALL_S = 60.0
"""A pull without any event for this long has stalled."""
PERIOD_US = 100_000
KILLED = 128
TMP_SIZE = "size=256m,exec"
LOG_FILE = {"Type": "json-file", "Config": {"max-size": "100m", "max-file": "1"}}


@contextlib.asynccontextmanager
async def engine(code: str = "error") -> AsyncIterator[None]:
    """The engine's refusals become CannotRun with its own words; an engine that is away becomes Unavailable."""
    try:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            yield
    except aiodocker.DockerError as error:
        if error.status >= 500 and "connect" in str(error.message).lower():
            raise Unavailable(f"the Docker engine does not answer: {error.message}") from error
        raise CannotRun(code, str(error.message)) from error
    except PermissionError as error:
        raise Unavailable("this user may not use the Docker engine's socket; add it to the group docker") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Unavailable(f"the Docker engine does not answer: {type(error).__name__}") from error


class DockerRuntime:
    def __init__(self, settings: Settings, worker: str, installation: str) -> None:
        self._settings = settings
        self._owner = {"mlmesh.worker": worker, "mlmesh.installation": installation}
        self._installation = installation
        self._docker: aiodocker.Docker
        self._networks: Networks

    async def __aenter__(self) -> Self:
        self._docker = aiodocker.Docker(url=address(self._settings.runtime))
        self._networks = Networks(self._docker, self._settings, self._installation)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._docker.close()

    async def prepare(self, spec: ContainerSpec, progress: Progress) -> None:
        if not await self._has(spec.image):
            await self._pull(spec.image, progress)
        if spec.serves:
            async with engine():
                await fill(self._docker, spec.image)

    async def _has(self, image: str) -> bool:
        async with engine("image"):
            try:
                await self._docker.images.inspect(image)
            except aiodocker.DockerError as error:
                if error.status == 404:
                    return False
                raise
            return True

    async def _pull(self, image: str, progress: Progress) -> None:
        name = image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
        try:
            events = self._docker.images.pull(name, stream=True)
            while True:
                async with asyncio.timeout(STALL_S):
                    event = await anext(events, None)
                if event is None:
                    return
                if "error" in event:
                    raise CannotRun("image", f"{image}: {event['error']}")
                progress(pulled(event))
        except aiodocker.DockerError as error:
            raise CannotRun("image", f"{image}: {error.message}") from error
        except TimeoutError as error:
            raise CannotRun("image", f"{image}: the pull stalled for {STALL_S:g} s") from error
        except aiohttp.ClientError as error:
            raise Unavailable("the Docker engine does not answer") from error

    async def start(self, spec: ContainerSpec) -> None:
        async with engine():
            network = await self._networks.of(spec.app)
            try:
                container = await self._docker.containers.create(config(spec, network, self._settings), name=spec.name)
            except aiodocker.DockerError as error:
                if error.status == 404:
                    raise CannotRun("image", str(error.message)) from error
                if error.status != 409:
                    raise
                container = self._docker.containers.container(spec.name)
            if (await container.show())["State"]["Status"] == "created":
                await container.start()

    async def wait(self, name: str) -> Exit:
        container = self._docker.containers.container(name)
        while True:
            async with engine():
                state = (await container.show())["State"]
            if state["Status"] in ("exited", "dead"):
                return ended(state)
            try:
                await container.wait()
            except aiodocker.DockerError as error:
                raise CannotRun("error", str(error.message)) from error
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(1.0)  # the engine restarts: look again

    async def stop(self, name: str, grace_s: float) -> None:
        with contextlib.suppress(CannotRun):
            async with engine(), asyncio.timeout(CALL_TIMEOUT_S):
                await self._docker.containers.container(name).stop(t=int(grace_s))

    async def remove(self, name: str) -> None:
        with contextlib.suppress(CannotRun):
            async with engine():
                await self._docker.containers.container(name).delete(force=True, v=True)

    async def listed(self) -> list[Container]:
        labels = [f"{key}={value}" for key, value in self._owner.items()]
        async with engine():
            found = await self._docker.containers.list(all=True, filters={"label": labels})
            shown = [await container.show() for container in found]
        return [
            Container(one["Name"].lstrip("/"), one["Config"]["Labels"], bool(one["State"]["Running"])) for one in shown
        ]

    async def address(self, name: str, port: int) -> tuple[str, int]:
        async with engine():
            shown = await self._docker.containers.container(name).show()
        if not shown["State"]["Running"]:
            raise CannotRun("exited", "it ended before it served")
        if (host := self._settings.worker_advertise) is not None:
            return host, int(shown["NetworkSettings"]["Ports"][f"{port}/tcp"][0]["HostPort"])
        network = self._networks.name(shown["Config"]["Labels"]["mlmesh.app"])
        return str(shown["NetworkSettings"]["Networks"][network]["IPAddress"]), port

    async def logs(self, name: str, offset: int) -> AsyncIterator[bytes]:
        container = self._docker.containers.container(name)
        skipped = offset
        try:
            async for line in container.log(stdout=True, stderr=True, follow=True):
                data = line.encode(errors="replace")
                if skipped >= len(data):
                    skipped -= len(data)
                    continue
                yield data[skipped:]
                skipped = 0
        except (aiodocker.DockerError, aiohttp.ClientError, TimeoutError):
            return

    def mesh_url(self, app: str) -> str:
        return self._networks.mesh_url(app)

    async def converge(self) -> None:
        async with engine():
            await self._networks.join_all()

    async def close(self, *, leave: bool) -> None:
        if leave:
            return
        for container in await self.listed():
            await self.remove(container.name)


def address(runtime: str) -> str | None:
    """The engine's address in `docker://…`; None is the usual socket."""
    rest = runtime.partition("://")[2]
    if not rest:
        return None
    return f"unix://{rest}" if rest.startswith("/") else f"tcp://{rest}"


def pulled(event: dict[str, Any]) -> str:
    detail = event.get("progressDetail") or {}
    if detail.get("total"):
        return f"image_pull: {100 * detail['current'] // detail['total']} %"
    return f"image_pull: {event.get('status', '')}"


def ended(state: dict[str, Any]) -> Exit:
    code = int(state["ExitCode"])
    signal = code - KILLED if code > KILLED else None
    return Exit(None if signal else code, signal, bool(state["OOMKilled"]))


def config(spec: ContainerSpec, network: str, settings: Settings) -> dict[str, Any]:
    """The engine's form of a container: no privileges, limits, the app's own network."""
    binds = [f"{mount.path}:{mount.path}:{'ro' if mount.read_only else 'rw'}" for mount in spec.mounts]
    if spec.serves:
        binds.append(f"{volume()}:/opt/mlmesh:ro")
    host: dict[str, Any] = {
        "Binds": binds,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Init": True,
        "PidsLimit": spec.pids,
        "ReadonlyRootfs": spec.read_only_root,
        "Tmpfs": {"/tmp": TMP_SIZE},  # noqa: S108  inside the container
        "LogConfig": LOG_FILE,
        "NetworkMode": network,
        "RestartPolicy": {"Name": "no"},
    }
    if spec.memory:
        host |= {"Memory": spec.memory, "MemorySwap": spec.memory}
    if spec.cpu:
        host |= {"CpuPeriod": PERIOD_US, "CpuQuota": int(spec.cpu * PERIOD_US)}
    if spec.shm:
        host["ShmSize"] = spec.shm
    if spec.gpu:
        host["DeviceRequests"] = [{"Count": spec.gpu, "Capabilities": [["gpu"]]}]
    found: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{key}={value}" for key, value in spec.env.items()],
        "Labels": dict(spec.labels),
        "HostConfig": host,
    }
    if spec.command is not None:
        found |= {"Entrypoint": list(spec.command), "Cmd": []}
    if spec.port is not None and (advertised := settings.worker_advertise):
        found["ExposedPorts"] = {f"{spec.port}/tcp": {}}
        host["PortBindings"] = {f"{spec.port}/tcp": [{"HostIp": bindable(advertised), "HostPort": ""}]}
    return found


def bindable(advertised: str) -> str:
    """A name is published on every address, a number on itself."""
    host = urlsplit(f"//{advertised}").hostname or advertised
    return host if host.replace(".", "").isdigit() else ""
