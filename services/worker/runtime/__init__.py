"""The Runtime protocol: how the worker runs containers. The packages `process` and `docker` implement it.

It decides nothing about tasks. Names are deterministic, so that a restarted worker finds its containers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from libs.common.errors import MeshError
from services.worker.runtime.image_build import BuiltImage, ImageBuild, Output
from services.worker.runtime.spec import ContainerSpec

Progress = Callable[[str], None]


class RuntimeFailure(MeshError):
    """The runtime cannot run a container. `code`: `image`, `source`, `error`, or `lost` (the engine's fault).

    `is_passing`: another try may succeed, as when an image registry is away.
    """

    def __init__(self, code: str, detail: str, *, is_passing: bool = False) -> None:
        super().__init__(detail, code=code)
        self.code, self.is_passing = code, is_passing


@dataclass(frozen=True)
class Exit:
    code: int | None
    signal: int | None = None
    oom: bool = False
    memory: int | None = None
    """Its memory limit in bytes, if exceeding that ended it."""
    peak_memory: int | None = None
    cpu_seconds: float | None = None

    @property
    def success(self) -> bool:
        return self.code == 0 and not self.oom

    @property
    def oom_message(self) -> str:
        """The reason of an exit with `oom`."""
        limit = f" of {self.memory / 2**20:.0f} MiB" if self.memory else ""
        return f"killed: exceeded its memory limit{limit}; request more in its manifest: resources: {{memory: 2Gi}}"


@dataclass(frozen=True)
class Container:
    name: str
    labels: Mapping[str, str]
    running: bool


class Runtime(Protocol):
    @property
    def engine(self) -> str:
        """Identifies the Docker Engine, as long as that keeps its data; empty without one."""

    @property
    def has_buildkit(self) -> bool:
        """Whether builds of images have caches and secrets."""

    async def check_ready(self) -> None:
        """Raises Unavailable if no container can be started now."""

    async def check_gateway(self) -> None:
        """Raises Unavailable if containers are known not to reach the gateway."""

    async def prepare(self, spec: ContainerSpec, progress: Progress) -> str:
        """Pull the image (Docker) or build the virtual environment (process). Raises RuntimeFailure.

        Returns the exact image id to start; the process runtime has no images and returns the name.
        """

    async def resolve_image(self, image: str, progress: Progress, login: Mapping[str, str] | None) -> str:
        """The exact image that a name means now: `name@sha256:…`, or its id where no registry has it.

        Pulls it if it is missing. Raises RuntimeFailure("image").
        """

    async def build_image(self, name: str, build: ImageBuild, output: Output) -> str:
        """Build and return the exact image: `repository@sha256:…` if it is pushed, else its id. `stop(name)` ends it.

        Raises RuntimeFailure("build").
        """

    async def list_built_images(self) -> list[BuiltImage]:
        """Images on the engine that were built for apps of this mesh, by any worker."""

    async def remove_image(self, image: str) -> None:
        """Remove a built image by its id, unless a container uses it."""

    async def is_disk_full(self) -> bool:
        """Whether the engine's disk is used above the mark from which on images and caches are removed."""

    async def prune_build_cache(self) -> None:
        """Remove what the engine keeps of builds, down to a size."""

    async def start(self, spec: ContainerSpec) -> None:
        """Create and start it; no error if it already runs. Raises RuntimeFailure."""

    async def wait(self, name: str) -> Exit:
        """Wait for its exit, or return an earlier one. Raises RuntimeFailure if the name is unknown."""

    async def stop(self, name: str, grace_s: float) -> None:
        """Send SIGTERM, then SIGKILL after the grace period. No error if it has exited or does not exist."""

    async def remove(self, name: str) -> None:
        """Remove it in any state, with its log and exit status."""

    async def list_containers(self) -> list[Container]:
        """List all containers of this worker, running or exited, by their labels."""

    async def get_address(self, name: str, port: int) -> tuple[str, int]:
        """Wait for and return the address at which the gateway reaches `port`."""

    def follow_log(self, name: str, offset: int) -> AsyncIterator[bytes]:
        """Follow stdout and stderr from a byte offset until it has exited and everything is read."""

    async def take_ownership(self, name: str, folder: Path) -> None:
        """Make all files below the folder of `name` this user's and readable; images may write as other users."""

    async def mesh_url(self, app: str, *, egress: bool = True) -> str:
        """URL of the gateway for a container of this app (`MLMESH_URL`), with or without network access."""

    async def gateway_url(self, app: str) -> str:
        """URL of the gateway for this worker."""

    async def reconcile(self) -> None:
        """Periodic maintenance, such as connecting the gateway's container to the networks of apps."""

    async def close(self, *, detach: bool) -> None:
        """Stop all containers; with `detach`, leave them running for the next worker to adopt."""
