"""Container specs, independent of the runtime. Pure: builds a `ContainerSpec` from a lease."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.worker.lease import Lease

LOOPBACK = "127.0.0.1"
SERVE_PATH = "/opt/mlmesh/serve.py"
"""The component runtime inside a container."""


@dataclass(frozen=True)
class Mount:
    """A folder or file of the host, mounted at the *same path*, so that paths in the environment are valid."""

    path: Path
    read_only: bool


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    name: str
    """Deterministic: `mlmesh-<task>-<token>`."""
    app: str
    labels: Mapping[str, str]
    """`mlmesh.` and: `installation`, `worker`, `task`, `attempt` (the fencing token), `kind`, `app`."""
    image: str
    image_id: str = ""
    """The exact image, once it is pulled."""
    command: tuple[str, ...] | None
    """None: the image's own entry point and command."""
    env: Mapping[str, str]
    folder: Path
    """The task's own folder in the worker's scratch: log, exit status, progress."""
    source: Path | None = None
    """The checkout at the deployed commit: the process runtime runs in a copy of it; Docker does not use it."""
    mounts: tuple[Mount, ...] = ()
    port: int | None = None
    """The port that a component listens on; None for a stage."""
    cpu: float | None = None
    memory: int | None = None
    gpu: int = 0
    shm: int | None = None
    pids: int = 4096
    read_only_root: bool = False
    egress: bool = True
    """Whether it may reach anything but this host and, for a component, its callers."""
    registry_login: Mapping[str, str] | None = field(default=None, repr=False)
    """`username` and `password` of the image registry."""
    is_component: bool = field(default=False)
    """A component, not a stage: the component runtime is mounted at `/opt/mlmesh` (Docker)."""


@dataclass(frozen=True, kw_only=True)
class ContainerSite:
    """Where a container runs: the worker, the task's folder, and how the runtime starts components."""

    worker: str
    installation: str
    folder: Path
    mesh_url: str
    source: Path | None = None
    component_program: Path | None = None
    """The component runtime on this host (process runtime); None: the bundle inside the container."""
    address: str = LOOPBACK
    """Where components without a network namespace listen."""


def variable_env_name(name: str) -> str:
    return "UNIP_PIPELINE_" + name.upper().replace("-", "_")


def container_labels(lease: Lease, site: ContainerSite) -> dict[str, str]:
    return {
        "mlmesh.installation": site.installation,
        "mlmesh.worker": site.worker,
        "mlmesh.task": lease.task,
        "mlmesh.attempt": str(lease.token),
        "mlmesh.kind": lease.kind,
        "mlmesh.app": lease.app,
    }


def env_from_sources(spec: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """`envFrom`: keys of Secrets and values of ConfigMaps as variables, in order; later ones win."""
    sources = spec.get("env_from") or [{"secret": name} for name in spec.get("secrets") or []]
    groups = [source["values"] if "values" in source else secrets[source["secret"]] for source in sources]
    return {key: value for values in groups for key, value in values.items()}


def build_stage_spec(
    lease: Lease, site: ContainerSite, variables: Mapping[str, Path], secrets: Mapping[str, Mapping[str, str]]
) -> ContainerSpec:
    """Build the container of a stage; `variables` are the paths of its inputs and outputs."""
    command, progress = lease.spec.get("entry_point"), site.folder / "progress"
    outputs = [Mount(variables[variable["name"]], read_only=False) for variable in lease.spec["outputs"]]
    inputs = [Mount(variables[variable["name"]], read_only=True) for variable in lease.spec["inputs"]]
    env = {
        **env_from_sources(lease.spec, secrets),
        **lease.spec.get("env", {}),
        **{variable_env_name(name): str(path) for name, path in variables.items()},
        "MLMESH_PROGRESS": str(progress),
        "MLMESH_URL": site.mesh_url,
    }
    return ContainerSpec(
        name=lease.container_name,
        app=lease.app,
        labels=container_labels(lease, site),
        image=lease.spec["image"],
        command=tuple(command) if command else None,
        env=env,
        folder=site.folder,
        source=site.source,
        mounts=(*inputs, *outputs, Mount(progress, read_only=False)),
        **resource_limits(lease.spec),
    )


def build_instance_spec(
    lease: Lease, site: ContainerSite, model: Path | None, secrets: Mapping[str, Mapping[str, str]]
) -> ContainerSpec:
    """Build the container of an instance of a component."""
    return ContainerSpec(
        name=lease.container_name,
        app=lease.app,
        labels=container_labels(lease, site),
        image=lease.spec["image"],
        command=component_command(lease.spec, site),
        env={
            **env_from_sources(lease.spec, secrets),
            **lease.spec.get("env", {}),
            **component_environment(lease, site, model),
        },
        folder=site.folder,
        source=site.source,
        mounts=(Mount(model, read_only=True),) if model else (),
        port=lease.spec["port"],
        read_only_root=bool(lease.spec.get("read_only_root")),
        is_component=True,
        **resource_limits(lease.spec),
    )


def component_command(spec: Mapping[str, Any], site: ContainerSite) -> tuple[str, str]:
    return (
        ("python", str(site.component_program))
        if site.component_program
        else (spec.get("python") or "python3", SERVE_PATH)
    )


def component_environment(lease: Lease, site: ContainerSite, model: Path | None) -> dict[str, str]:
    """The environment variables that the component runtime reads."""
    spec = lease.spec
    on_host = {"MLMESH_HOST": site.address, "MLMESH_PORT": "0", "MLMESH_PORT_FILE": str(site.folder / "port")}
    in_container = {"MLMESH_HOST": "0.0.0.0", "MLMESH_PORT": str(spec["port"])}  # noqa: S104  the token protects it
    batching, source = spec.get("batching") or {}, spec.get("model") or {}
    optional = {
        "MLMESH_INFERENCE": spec.get("inference"),
        "MLMESH_APP": spec.get("app"),
        "MLMESH_MODEL_PATH": str(model) if model else None,
        "MLMESH_MODEL_BOX": source.get("box"),
        "MLMESH_LOADER": spec.get("loader"),
        "MLMESH_BATCH_SIZE": str(batching["max_size"]) if batching else None,
        "MLMESH_BATCH_DELAY_MS": str(batching["max_delay_ms"]) if batching else None,
    }
    return {
        "MLMESH_COMPONENT_NAME": spec["component"],
        "MLMESH_NAMESPACE": lease.app,
        "MLMESH_INSTANCE_TOKEN": spec["instance_token"],
        "MLMESH_CONCURRENCY": str(spec.get("concurrency") or 1),
        "MLMESH_TIMEOUT": str(spec.get("timeout") or 30.0),
        "MLMESH_WARMUP": json.dumps(spec.get("warmup") or []),
        "MLMESH_BOXES": json.dumps(spec.get("boxes") or []),
        "MLMESH_OTHER_BOXES": json.dumps(spec.get("other_boxes") or []),
        "MLMESH_URL": site.mesh_url,
        **{name: value for name, value in optional.items() if value},
        **(on_host if site.component_program else in_container),
    }


def resource_limits(spec: Mapping[str, Any]) -> dict[str, Any]:
    resources = spec.get("resources") or {}
    return {
        "cpu": resources.get("cpu"),
        "memory": resources.get("memory"),
        "gpu": resources.get("gpu") or 0,
        "shm": resources.get("shm"),
        "egress": spec.get("egress") != "none",
    }
