"""What to run, independent of the engine that runs it. Pure: a lease in, a `ContainerSpec` out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Mount:
    """A folder or file of the host, seen at the *same path* inside: a path in the environment is right in every runtime."""

    path: Path
    read_only: bool


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    name: str
    """Deterministic: `mlmesh-<task>-<token>`."""
    app: str
    labels: Mapping[str, str]
    """`mlmesh.installation`, `mlmesh.worker`, `mlmesh.task`, `mlmesh.attempt` (the fencing token), `mlmesh.kind`, `mlmesh.app`."""
    image: str
    command: tuple[str, ...] | None
    """None: the image's own entry point and command."""
    env: Mapping[str, str]
    folder: Path
    """The task's own folder in the worker's scratch: log, exit status, progress."""
    source: Path | None = None
    """The checkout at the deployed commit: working directory and import path in the process runtime, unused in Docker."""
    mounts: tuple[Mount, ...] = ()
    port: int | None = None
    """The port a component serves on; None for a stage."""
    cpu: float | None = None
    memory: int | None = None
    gpu: int = 0
    shm: int | None = None
    pids: int = 4096
    read_only_root: bool = False
    serves: bool = field(default=False)
    """A component: it gets the system library (`/opt/mlmesh`, or the installed one in the process runtime)."""
