"""Container specs, independent of the runtime. Pure: builds a `ContainerSpec` from the specification of a task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from libs.common.protocol.container import ContainerFields, EnvSource
from libs.common.protocol.instance import InstanceSpec
from libs.common.protocol.stage import StageSpec
from services.worker.lease import Lease

Secrets = Mapping[str, Mapping[str, str]]
"""Keys and values of each Secret."""

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
    image: str | None
    """None: only the process runtime can run it."""
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

    @property
    def image_reference(self) -> str:
        """The exact image once it is pulled, else its name."""
        return self.image_id or self.image or ""


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


def env_from_sources(spec: ContainerFields, secrets: Secrets) -> dict[str, str]:
    """`envFrom`: keys of Secrets and values of ConfigMaps as variables, in order; later ones win."""
    sources = spec.env_from or [EnvSource(secret=name) for name in spec.secrets]
    groups = [source.values if source.secret is None else secrets[source.secret] for source in sources]
    return {key: value for values in groups if values for key, value in values.items()}


def build_stage_container(
    lease: Lease, spec: StageSpec, site: ContainerSite, variables: Mapping[str, Path], secrets: Secrets
) -> ContainerSpec:
    """Build the container of a stage; `variables` are the paths of its inputs and outputs."""
    progress = site.folder / "progress"
    outputs = [Mount(variables[variable.name], read_only=False) for variable in spec.outputs]
    inputs = [Mount(variables[variable.name], read_only=True) for variable in spec.inputs]
    return ContainerSpec(
        name=lease.container_name,
        app=lease.app,
        labels=container_labels(lease, site),
        image=spec.image,
        command=spec.entry_point or None,
        env={
            **env_from_sources(spec, secrets),
            **spec.env,
            **{variable_env_name(name): str(path) for name, path in variables.items()},
            "MLMESH_PROGRESS": str(progress),
            "MLMESH_URL": site.mesh_url,
        },
        folder=site.folder,
        source=site.source,
        mounts=(*inputs, *outputs, Mount(progress, read_only=False)),
        cpu=spec.resources.cpu,
        memory=spec.resources.memory,
        gpu=spec.resources.gpu,
        shm=spec.resources.shm,
        egress=spec.egress != "none",
    )


def build_instance_container(
    lease: Lease, spec: InstanceSpec, site: ContainerSite, model: Path | None, secrets: Secrets
) -> ContainerSpec:
    """Build the container of an instance of a component."""
    return ContainerSpec(
        name=lease.container_name,
        app=lease.app,
        labels=container_labels(lease, site),
        image=spec.image,
        command=component_command(spec, site),
        env={
            **env_from_sources(spec, secrets),
            **spec.env,
            **component_environment(lease.app, spec, site, model),
            **name_secret_variables(secrets),
        },
        folder=site.folder,
        source=site.source,
        mounts=(Mount(model, read_only=True),) if model else (),
        port=spec.port,
        read_only_root=spec.read_only_root,
        is_component=True,
        cpu=spec.resources.cpu,
        memory=spec.resources.memory,
        gpu=spec.resources.gpu,
        shm=spec.resources.shm,
        egress=spec.egress != "none",
    )


def name_secret_variables(secrets: Secrets) -> dict[str, str]:
    """What the component runtime hides in the texts of exceptions."""
    names = sorted({key for values in secrets.values() for key in values})
    return {"MLMESH_SECRET_VARIABLES": json.dumps(names)} if names else {}


def component_command(spec: InstanceSpec, site: ContainerSite) -> tuple[str, str]:
    return ("python", str(site.component_program)) if site.component_program else (spec.python or "python3", SERVE_PATH)


def component_environment(app: str, spec: InstanceSpec, site: ContainerSite, model: Path | None) -> dict[str, str]:
    """The environment variables that the component runtime reads."""
    on_host = {"MLMESH_HOST": site.address, "MLMESH_PORT": "0", "MLMESH_PORT_FILE": str(site.folder / "port")}
    in_container = {"MLMESH_HOST": "0.0.0.0", "MLMESH_PORT": str(spec.port)}  # noqa: S104  the token protects it
    optional = {
        "MLMESH_INFERENCE": spec.inference,
        "MLMESH_APP": spec.app,
        "MLMESH_MODEL_PATH": str(model) if model else None,
        "MLMESH_MODEL_BOX": spec.model.box if spec.model else None,
        "MLMESH_LOADER": spec.loader,
        "MLMESH_BATCH_SIZE": str(spec.batching.max_size) if spec.batching else None,
        "MLMESH_BATCH_DELAY_MS": str(spec.batching.max_delay_ms) if spec.batching else None,
    }
    return {
        "MLMESH_COMPONENT_NAME": spec.component,
        "MLMESH_NAMESPACE": app,
        "MLMESH_INSTANCE_TOKEN": spec.instance_token,
        "MLMESH_CONCURRENCY": str(spec.concurrency),
        "MLMESH_TIMEOUT": str(spec.timeout),
        "MLMESH_WARMUP": json.dumps(spec.warmup),
        "MLMESH_BOXES": json.dumps(spec.boxes),
        "MLMESH_OTHER_BOXES": json.dumps(spec.other_boxes),
        "MLMESH_URL": site.mesh_url,
        **{name: value for name, value in optional.items() if value},
        **(on_host if site.component_program else in_container),
    }
