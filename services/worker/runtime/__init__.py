"""The Runtime seam: what the worker needs of an engine that runs containers. `process` and `docker` honour it.

Holds no decision about tasks; names are deterministic, so that a restarted worker finds what it started before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from libs.common.errors import MeshError
from services.worker.runtime.spec import ContainerSpec

Progress = Callable[[str], None]


class RuntimeFailure(MeshError):
    """The engine cannot run this; `code` is the reason: `image`, `source`, `error`, or `lost`: the engine's fault."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail, code=code)
        self.code = code


@dataclass(frozen=True)
class Exit:
    code: int | None
    signal: int | None = None
    oom: bool = False
    memory: int | None = None
    """Bytes that it might use, where that ended it."""
    peak_memory: int | None = None
    cpu_seconds: float | None = None

    @property
    def success(self) -> bool:
        return self.code == 0 and not self.oom

    @property
    def oom_message(self) -> str:
        """What to say of one that `oom` ended."""
        limit = f"the {self.memory / 2**20:.0f} MiB that it may use" if self.memory else "it may use"
        return f"it needed more memory than {limit}; say in its manifest how much it needs: resources: {{memory: 2Gi}}"


@dataclass(frozen=True)
class Container:
    name: str
    labels: Mapping[str, str]
    running: bool


class Runtime(Protocol):
    async def check_ready(self) -> None:
        """Raises Unavailable when nothing can be started now."""

    async def check_gateway(self) -> None:
        """Raises Unavailable when containers are known not to reach the gateway."""

    async def prepare(self, spec: ContainerSpec, progress: Progress) -> str:
        """Have the image (Docker) or the virtual environment (process) at hand. Raises RuntimeFailure.

        Exactly which image it is, to be started by; the process runtime has none and gives the name back.
        """

    async def start(self, spec: ContainerSpec) -> None:
        """Create and start; starting what already runs under this name is no error. Raises RuntimeFailure."""

    async def wait(self, name: str) -> Exit:
        """How it ended, also when it ended long ago. Raises RuntimeFailure when nothing of this name is known."""

    async def stop(self, name: str, grace_s: float) -> None:
        """SIGTERM, then SIGKILL after the grace. No error when it has ended or is not there."""

    async def remove(self, name: str) -> None:
        """Forget it, whatever its state. Its log and exit status go with it."""

    async def list_containers(self) -> list[Container]:
        """All containers of this worker, running or ended, by their labels."""

    async def get_address(self, name: str, port: int) -> tuple[str, int]:
        """Where the gateway reaches `port` of it; waits until it is known."""

    def follow_log(self, name: str, offset: int) -> AsyncIterator[bytes]:
        """stdout and stderr as written, from a byte offset, following until it has ended and all was read."""

    async def take_ownership(self, name: str, folder: Path) -> None:
        """Make this user's, and readable, what other users, those of an image, wrote below the folder of `name`."""

    async def mesh_url(self, app: str, *, egress: bool = True) -> str:
        """Where the gateway answers for a container of this app (`MLMESH_URL`), with a way out or without."""

    async def gateway_url(self, app: str) -> str:
        """Where the gateway answers for this worker."""

    async def reconcile(self) -> None:
        """Periodic upkeep, such as joining the gateway's container to the networks of apps."""

    async def close(self, *, detach: bool) -> None:
        """The worker stops. With `leave`, containers that outlive it are left for the next one to adopt."""
