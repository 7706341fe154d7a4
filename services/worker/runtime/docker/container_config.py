"""What the engine is asked to create for a `ContainerSpec`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from services.worker.runtime.docker.bundle import INSIDE
from services.worker.runtime.spec import ContainerSpec

LOG = {"Type": "json-file", "Config": {"max-size": "256m", "max-file": "2"}}
"""The engine's own copy; ours is in databox."""
TMP_IN_MEMORY = "rw,exec,nosuid,nodev,mode=1777,size=256m"


def document(
    spec: ContainerSpec, *, network: str, bundle: str | None = None, advertise: str | None = None
) -> dict[str, Any]:
    """`bundle`: the volume of the component runtime."""
    command = {"Entrypoint": list(spec.command)} if spec.command else {}
    exposed: dict[str, Any] = {"ExposedPorts": {f"{spec.port}/tcp": {}}} if spec.port else {}
    return {
        "Image": spec.identity or spec.image,
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": {**spec.labels, "mlmesh.image": spec.image},
        "HostConfig": {**_guarded(spec), **_limits(spec), **_files(spec, bundle), **_network(spec, network, advertise)},
        **command,
        **exposed,
    }


def _guarded(spec: ContainerSpec) -> dict[str, Any]:
    return {
        "Init": True,  # reaps what the command leaves, and passes SIGTERM on to it
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": spec.read_only_root,
        "RestartPolicy": {"Name": "no"},  # what should run is the scheduler's to say
        "LogConfig": LOG,
    }


def _limits(spec: ContainerSpec) -> dict[str, Any]:
    found: dict[str, Any] = {"PidsLimit": spec.pids}
    if spec.cpu:
        found["NanoCpus"] = int(spec.cpu * 1e9)
    if spec.memory:
        found |= {"Memory": spec.memory, "MemorySwap": spec.memory}  # equal: no swap beside it
    if spec.shm:
        found["ShmSize"] = spec.shm
    if spec.gpu:
        found["DeviceRequests"] = [{"Count": spec.gpu, "Capabilities": [["gpu"]]}]
    return found


def _files(spec: ContainerSpec, bundle: str | None) -> dict[str, Any]:
    """`/tmp` is in memory for a component, in the task's scratch for a stage, whose data may be large."""
    mounts = [_bind(one.path, one.path, one.read_only) for one in spec.mounts]
    if bundle:
        mounts.append({"Type": "volume", "Source": bundle, "Target": INSIDE, "ReadOnly": True})
    if spec.serves:
        return {"Mounts": mounts, "Tmpfs": {"/tmp": TMP_IN_MEMORY}}  # noqa: S108  the container's own
    return {"Mounts": [*mounts, _bind(temporary(spec), Path("/tmp"), False)]}  # noqa: S108


def temporary(spec: ContainerSpec) -> Path:
    """The folder that a stage finds at `/tmp`."""
    return spec.folder / "tmp"


def _bind(source: Path, target: Path, read_only: bool) -> Mapping[str, Any]:
    return {"Type": "bind", "Source": str(source), "Target": str(target), "ReadOnly": read_only}


def _network(spec: ContainerSpec, network: str, advertise: str | None) -> dict[str, Any]:
    if not (spec.port and advertise):
        return {"NetworkMode": network}
    binding = {"HostIp": advertise if _numeric(advertise) else "", "HostPort": ""}
    return {"NetworkMode": network, "PortBindings": {f"{spec.port}/tcp": [binding]}}


def _numeric(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True
