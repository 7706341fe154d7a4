"""The component runtime for foreign images: a read-only volume per version, mounted at `/opt/mlmesh`.

A volume, not a folder of this host: it also works when the worker is a container.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mlmesh_component
from aiodocker import Docker
from aiodocker.containers import DockerContainer

from libs.common.errors import Conflict, NotFound, Unavailable
from services.worker.runtime.docker.client import answered

INSIDE = "/opt/mlmesh"
MARK = ".complete"
"""Written last: a volume with it is whole."""
FILLED_S = 30.0
"""How long another worker may take to fill it."""
POLL_S = 0.1


class Bundle:
    def __init__(self, docker: Docker) -> None:
        self._docker = docker
        self._files = contents(Path(mlmesh_component.__file__).parent.parent)
        self.volume = f"mlmesh-component-{version(self._files)}"
        self._whole = False

    async def ensure(self, image: str) -> str:
        """The volume's name; `image`, any that is here, lends the container through which it is filled."""
        if not self._whole:
            async with self._filler(image) as filler:
                if not await self._complete(filler):
                    await self._fill(filler)
            self._whole = True
        return self.volume

    async def _complete(self, filler: DockerContainer) -> bool:
        try:
            (await answered(filler.get_archive(f"{INSIDE}/{MARK}"))).close()
        except NotFound:
            return False
        return True

    async def _fill(self, filler: DockerContainer) -> None:
        for files in (self._files, {MARK: b""}):
            await answered(filler.put_archive(INSIDE, packed(files)))  # type: ignore[no-untyped-call]

    @asynccontextmanager
    async def _filler(self, image: str) -> AsyncIterator[DockerContainer]:
        """A container that is never started. Its name is the lock between workers."""
        mount = {"Type": "volume", "Source": self.volume, "Target": INSIDE, "VolumeOptions": {"NoCopy": True}}
        document: dict[str, Any] = {
            "Image": image,
            "Entrypoint": ["/none"],
            "HostConfig": {"Mounts": [mount], "NetworkMode": "none"},
        }
        filler = await self._alone(document)
        try:
            yield filler
        finally:
            await answered(filler.delete(force=True))

    async def _alone(self, document: dict[str, Any]) -> DockerContainer:
        try:
            async with asyncio.timeout(FILLED_S):
                while True:
                    try:
                        return await answered(self._docker.containers.create(document, name=self.volume))
                    except Conflict:
                        await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            await answered(self._docker.containers.container(self.volume).delete(force=True))
            raise Unavailable(f"{self.volume} was left half filled; it is tried again") from error


def contents(folder: Path) -> dict[str, bytes]:
    """The runtime's files by their names in the bundle."""
    sources = [folder / "serve.py", *sorted((folder / "mlmesh_component").rglob("*.py"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sources}


def version(files: dict[str, bytes]) -> str:
    found = hashlib.sha256()
    for name, content in sorted(files.items()):
        found.update(f"{name} {len(content)}\n".encode() + content)
    return found.hexdigest()[:12]


def packed(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()
