"""The component runtime for any image: a read-only volume per version, mounted at `/opt/mlmesh`.

A volume, not a folder of the host, so that it also works for a worker that is a container.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import mlmesh_component
from aiodocker import Docker
from aiodocker.containers import DockerContainer

from libs.common.errors import Conflict, NotFound, Unavailable
from services.worker.runtime.docker.client import call_engine, create_container
from services.worker.runtime.docker.engine_api import ContainerConfig, MountConfig

MOUNT_PATH = "/opt/mlmesh"
COMPLETE_FILE = ".complete"
"""Written last: marks a complete volume."""
FILL_TIMEOUT_S = 30.0
"""How long another worker may take to fill the volume."""
POLL_S = 0.1


class ComponentBundle:
    def __init__(self, docker: Docker) -> None:
        self._docker = docker
        self._files = read_bundle_files(Path(mlmesh_component.__file__).parent.parent)
        self.volume = f"mlmesh-component-{bundle_version(self._files)}"
        self._is_filled = False

    async def ensure_volume(self, image: str) -> str:
        """Fill the volume if necessary and return its name. Any local `image` serves for the filling container."""
        if not self._is_filled:
            async with self._open_container(image) as container:
                if not await self._is_complete(container):
                    await self._fill_volume(container)
            self._is_filled = True
        return self.volume

    async def _is_complete(self, filler: DockerContainer) -> bool:
        try:
            (await call_engine(filler.get_archive(f"{MOUNT_PATH}/{COMPLETE_FILE}"))).close()
        except NotFound:
            return False
        return True

    async def _fill_volume(self, filler: DockerContainer) -> None:
        for files in (self._files, {COMPLETE_FILE: b""}):
            await call_engine(filler.put_archive(MOUNT_PATH, make_tar(files)))  # type: ignore[no-untyped-call]

    @asynccontextmanager
    async def _open_container(self, image: str) -> AsyncIterator[DockerContainer]:
        """A container that is never started. Its name is a lock between workers."""
        mount: MountConfig = {
            "Type": "volume",
            "Source": self.volume,
            "Target": MOUNT_PATH,
            "VolumeOptions": {"NoCopy": True},
        }
        config: ContainerConfig = {
            "Image": image,
            "Entrypoint": ["/none"],
            "HostConfig": {"Mounts": [mount], "NetworkMode": "none"},
        }
        container = await self._create_exclusive(config)
        try:
            yield container
        finally:
            await call_engine(container.delete(force=True))

    async def _create_exclusive(self, config: ContainerConfig) -> DockerContainer:
        try:
            async with asyncio.timeout(FILL_TIMEOUT_S):
                while True:
                    try:
                        return await create_container(self._docker, config, self.volume)
                    except Conflict:
                        await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            await call_engine(self._docker.containers.container(self.volume).delete(force=True))
            raise Unavailable(f"{self.volume} was left incomplete; retrying") from error


def read_bundle_files(folder: Path) -> dict[str, bytes]:
    """Read the files of the component runtime, by their names in the bundle."""
    sources = [folder / "serve.py", *sorted((folder / "mlmesh_component").rglob("*.py"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sources}


def bundle_version(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def make_tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()
