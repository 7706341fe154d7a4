"""The scratch folder seen by the engine: its mount, and files that belong to users of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from aiodocker import Docker

from libs.common import log
from libs.common.errors import MeshError, NotFound
from libs.common.settings import BadSetting
from services.worker.runtime.docker.client import call_engine, create_container
from services.worker.runtime.docker.engine_api import ContainerConfig, MountConfig
from services.worker.runtime.docker.platform_containers import PlatformContainer

CHOWN_TIMEOUT_S = 300.0


def check_same_path(worker: PlatformContainer, scratch: Path) -> None:
    """A worker container must mount the scratch folder at the same path as the host. Raises BadSetting."""
    for source, inside in worker.mounts:
        if source == inside and (inside == str(scratch) or scratch.is_relative_to(inside)):
            return
    raise BadSetting(f"MLMESH_SCRATCH: mount {scratch} of the host into the worker at the same path")


def has_foreign_files(folder: Path) -> bool:
    """Whether files below `folder` belong to another user, so that this process may not read or remove them."""
    return os.geteuid() != 0 and any(list_foreign_files(folder))


async def change_owner(docker: Docker, image: str, folder: Path) -> None:
    """Change the owner of all files below `folder` to this user, in a container of `image` that runs as root."""
    try:
        container = await create_container(docker, chown_container_config(image, folder))
        try:
            await call_engine(container.start())
            await call_engine(container.wait(), CHOWN_TIMEOUT_S)
        finally:
            await call_engine(container.delete(force=True))
    except NotFound:
        log.get("worker").warning("Could not change ownership of task files", folder=str(folder))
    except MeshError as error:
        log.get("worker").warning("Could not change ownership of task files", folder=str(folder), why=error.detail)


def list_foreign_files(folder: Path) -> Iterator[str]:
    """List files that belong to another user."""
    user = os.geteuid()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            if os.lstat(path).st_uid != user:
                yield path


def chown_container_config(image: str, folder: Path) -> ContainerConfig:
    owner = f"{os.geteuid()}:{os.getegid()}"
    mount: MountConfig = {"Type": "bind", "Source": str(folder), "Target": str(folder), "ReadOnly": False}
    return {
        "Image": image,
        "User": "0:0",
        "Entrypoint": ["chown", "-hR", owner, str(folder)],
        "HostConfig": {
            "Mounts": [mount],
            "NetworkMode": "none",
            "CapDrop": ["ALL"],
            "CapAdd": ["CHOWN", "DAC_OVERRIDE", "FOWNER"],
            "SecurityOpt": ["no-new-privileges:true"],
        },
    }
