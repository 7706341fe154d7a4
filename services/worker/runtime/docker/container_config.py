"""Translates a `ContainerSpec` into the configuration of the Docker API. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from services.worker.runtime.docker.bundle import MOUNT_PATH
from services.worker.runtime.docker.engine_api import ContainerConfig, HostConfig, LogConfig, MountConfig, PortBinding
from services.worker.runtime.spec import ContainerSpec

LOG_CONFIG: LogConfig = {"Type": "json-file", "Config": {"max-size": "256m", "max-file": "2"}}
"""The engine's copy of the log; the databox stores another."""
TMPFS_OPTIONS = "rw,exec,nosuid,nodev,mode=1777,size=256m"


def build_container_config(
    spec: ContainerSpec, *, network: str, bundle: str | None = None, advertise: str | None = None
) -> ContainerConfig:
    """`bundle`: the volume with the component runtime."""
    config: ContainerConfig = {
        "Image": spec.image_reference,
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": {**spec.labels, "mlmesh.image": spec.image or ""},
        "HostConfig": {
            **_security_options(spec),
            **_resource_options(spec),
            **_mount_options(spec, bundle),
            **_network_options(spec, network, advertise),
        },
    }
    if spec.command:
        config["Entrypoint"] = list(spec.command)
    if spec.port:
        config["ExposedPorts"] = {f"{spec.port}/tcp": {}}
    return config


def _security_options(spec: ContainerSpec) -> HostConfig:
    return {
        "Init": True,  # reaps zombies and forwards SIGTERM
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": spec.read_only_root,
        "RestartPolicy": {"Name": "no"},  # the scheduler decides what runs
        "LogConfig": LOG_CONFIG,
    }


def _resource_options(spec: ContainerSpec) -> HostConfig:
    options: HostConfig = {"PidsLimit": spec.pids}
    if spec.cpu:
        options["NanoCpus"] = int(spec.cpu * 1e9)
    if spec.memory:
        options["Memory"] = options["MemorySwap"] = spec.memory  # equal: no swap
    if spec.shm:
        options["ShmSize"] = spec.shm
    if spec.gpu:
        options["DeviceRequests"] = [{"Count": spec.gpu, "Capabilities": [["gpu"]]}]
    return options


def _mount_options(spec: ContainerSpec, bundle: str | None) -> HostConfig:
    """`/tmp` is in memory for a component, and in the task's folder for a stage, whose data may be large."""
    mounts = [_bind_mount(mount.path, mount.path, mount.read_only) for mount in spec.mounts]
    if bundle:
        mounts.append({"Type": "volume", "Source": bundle, "Target": MOUNT_PATH, "ReadOnly": True})
    if spec.is_component:
        return {"Mounts": mounts, "Tmpfs": {"/tmp": TMPFS_OPTIONS}}  # noqa: S108  the container's own
    return {"Mounts": [*mounts, _bind_mount(tmp_folder(spec), Path("/tmp"), False)]}  # noqa: S108


def tmp_folder(spec: ContainerSpec) -> Path:
    """The folder that is mounted at `/tmp` of a stage."""
    return spec.folder / "tmp"


def _bind_mount(source: Path, target: Path, read_only: bool) -> MountConfig:
    return {"Type": "bind", "Source": str(source), "Target": str(target), "ReadOnly": read_only}


def _network_options(spec: ContainerSpec, network: str, advertise: str | None) -> HostConfig:
    if not (spec.port and advertise):
        return {"NetworkMode": network}
    binding: PortBinding = {"HostIp": advertise if _is_ip_address(advertise) else "", "HostPort": ""}
    return {"NetworkMode": network, "PortBindings": {f"{spec.port}/tcp": [binding]}}


def _is_ip_address(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True
