"""Source trees by commit, fetched from the registry once and kept."""

from __future__ import annotations

import asyncio
import posixpath
import shutil
import tarfile
import tempfile
from pathlib import Path

from libs.common.errors import MeshError
from libs.common.http.client import Peer
from services.worker.environment import locked
from services.worker.patience import patient
from services.worker.runtime import CannotRun

CHUNK = 1 << 18


class Checkouts:
    def __init__(self, root: Path, registry: Peer) -> None:
        self._root = root
        self._registry = registry

    async def get(self, app: str, commit: str) -> Path:
        """The folder of the tree. Raises CannotRun("source")."""
        folder = self._root / app / commit
        if folder.is_dir():
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        async with locked(folder.parent / f"{commit}.lock"):
            if not folder.is_dir():
                await self._fetch(app, commit, folder)
        return folder

    async def _fetch(self, app: str, commit: str, folder: Path) -> None:
        aside = Path(tempfile.mkdtemp(prefix=f".{commit[:12]}-", dir=folder.parent))
        try:
            packed, tree = aside / "source.tar.gz", aside / "tree"
            await patient(lambda: self._download(f"/internal/apps/{app}/source/{commit}", packed))
            await asyncio.to_thread(extract, packed, tree)
            tree.rename(folder)
        except MeshError as error:
            raise CannotRun("source", f"no source of {app} at {commit[:12]}: {error.detail}") from error
        except (tarfile.TarError, OSError) as error:
            raise CannotRun("source", f"the source of {app} at {commit[:12]} cannot be unpacked: {error}") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    async def _download(self, path: str, target: Path) -> None:
        async with self._registry.stream("GET", path) as answer:
            with target.open("wb") as file:
                async for chunk in answer.content.iter_chunked(CHUNK):
                    file.write(chunk)


def extract(packed: Path, folder: Path) -> None:
    folder.mkdir()
    with tarfile.open(packed, "r:*") as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
        else:  # Python before 3.11.4
            archive.extractall(folder, [within(member) for member in archive])  # noqa: S202
    folder.chmod(0o755)


def within(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The member when it and what it links to lie in the folder; raises tarfile.TarError."""
    target = posixpath.join(posixpath.dirname(member.name), member.linkname) if member.issym() else member.linkname
    for place in (member.name, target):
        if posixpath.normpath(place).startswith(("/", "..")):
            raise tarfile.TarError(f"{member.name} would lie or point outside")
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise tarfile.TarError(f"{member.name} is no file, folder or link")
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
