"""Source trees by commit, fetched from the registry once and kept."""

from __future__ import annotations

import asyncio
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from libs.common.errors import MeshError
from libs.common.http.client import Peer
from libs.common.repository_tree import leads_outside
from services.worker.file_lock import locked
from services.worker.retry import patient
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
    """The tree in a new folder, without links that lead out of it. Raises tarfile.TarError, OSError."""
    folder.mkdir()
    with tarfile.open(packed, "r:*") as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter=inside)  # noqa: S202
        else:  # Python before 3.11.4; one after the other, as each is unpacked
            taken = (inside(member, str(folder)) for member in archive)
            archive.extractall(folder, (member for member in taken if member))  # noqa: S202
    folder.chmod(0o755)


def inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """The member; None of a link that leads outside, which the deployment warns of. Raises tarfile.TarError."""
    if member.issym() and (leads_outside(member.name, member.linkname) or _escapes(member, folder)):
        return None
    return tarfile.data_filter(member, folder) if hasattr(tarfile, "data_filter") else checked(member)


def _escapes(link: tarfile.TarInfo, folder: str) -> bool:
    """Whether it leads outside by way of links that are there."""
    root = os.path.realpath(folder)
    place = os.path.realpath(os.path.join(root, os.path.dirname(link.name), link.linkname))
    return os.path.commonpath([root, place]) != root


def checked(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The member when it lies in the folder, and is nothing special; raises tarfile.TarError."""
    if leads_outside("", member.name) or (member.islnk() and leads_outside("", member.linkname)):
        raise tarfile.TarError(f"{member.name} would lie or point outside")
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise tarfile.TarError(f"{member.name} is no file, folder or link")
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
