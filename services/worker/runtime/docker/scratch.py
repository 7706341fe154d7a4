"""The worker's scratch folder as the engine sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiodocker import Docker

from libs.common import log
from libs.common.errors import MeshError, NotFound
from libs.common.settings import BadSetting
from services.worker.runtime.docker.client import answered
from services.worker.runtime.docker.platform_containers import Member

RECLAIM_S = 300.0


def check_same_path(worker: Member, scratch: Path) -> None:
    """Raises BadSetting: what a worker in a container writes must be where the engine finds it on its host."""
    for source, inside in worker.mounts:
        if source == inside and (inside == str(scratch) or scratch.is_relative_to(inside)):
            return
    raise BadSetting(f"MLMESH_SCRATCH: mount {scratch} of the host into the worker at the same path")


def mixed(folder: Path) -> bool:
    """Whether something below `folder` can be neither read nor removed by this process, for it is another user's."""
    return os.geteuid() != 0 and any(foreign(folder))


async def reclaim(docker: Docker, image: str, folder: Path) -> None:
    """Everything below `folder` to this process's user, through a container of `image`, which has more rights."""
    try:
        container = await answered(docker.containers.create(document(image, folder)))
        try:
            await answered(container.start())
            await answered(container.wait(), RECLAIM_S)
        finally:
            await answered(container.delete(force=True))
    except NotFound:
        log.get("worker").warning("files of another user stay", folder=str(folder))
    except MeshError as error:
        log.get("worker").warning("files of another user stay", folder=str(folder), why=error.detail)


def foreign(folder: Path) -> Iterator[str]:
    """What belongs to somebody else."""
    own = os.geteuid()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            if os.lstat(path).st_uid != own:
                yield path


def document(image: str, folder: Path) -> dict[str, Any]:
    owner = f"{os.geteuid()}:{os.getegid()}"
    mount = {"Type": "bind", "Source": str(folder), "Target": str(folder), "ReadOnly": False}
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
