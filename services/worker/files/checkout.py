"""Cache of source trees by commit, fetched once from the registry."""

from __future__ import annotations

import asyncio
import os
import shutil
import tarfile
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from libs.common.errors import MeshError
from libs.common.http.client import ServiceClient
from libs.common.repository_tree import leaves_tree
from services.worker.file_lock import hold_file_lock
from services.worker.retry import retry
from services.worker.runtime import RuntimeFailure

CHUNK = 1 << 18


class CheckoutCache:
    def __init__(self, root: Path, registry: ServiceClient) -> None:
        self._root = root
        self._registry = registry
        self._borrowed = Counter[Path]()

    async def get(self, app: str, commit: str) -> Path:
        """Return the folder of the tree. Raises RuntimeFailure("source")."""
        folder = self._root / app / commit
        if folder.is_dir():
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        async with hold_file_lock(folder.parent / f"{commit}.lock"):
            if not folder.is_dir():
                await self._fetch_source(app, commit, folder)
        return folder

    async def clear(self) -> None:
        """Remove all trees, such as those that an earlier worker had borrowed."""
        await asyncio.to_thread(shutil.rmtree, self._root, ignore_errors=True)

    @asynccontextmanager
    async def borrow(self, app: str, commit: str) -> AsyncIterator[Path]:
        """The folder of the tree, removed after its last use; not for those of `get`. Raises RuntimeFailure."""
        folder = self._root / app / commit
        self._borrowed[folder] += 1
        try:
            yield await self.get(app, commit)
        finally:
            self._borrowed[folder] -= 1
            if not self._borrowed[folder]:
                del self._borrowed[folder]
                await _remove_tree(folder)

    async def _fetch_source(self, app: str, commit: str, folder: Path) -> None:
        temp_folder = Path(tempfile.mkdtemp(prefix=f".{commit[:12]}-", dir=folder.parent))
        try:
            archive, tree = temp_folder / "source.tar.gz", temp_folder / "tree"
            await retry(lambda: self._download(f"/internal/apps/{app}/source/{commit}", archive))
            await asyncio.to_thread(extract_archive, archive, tree)
            tree.rename(folder)
        except MeshError as error:
            raise RuntimeFailure(
                "source", f"cannot fetch the source of {app} at {commit[:12]}: {error.detail}"
            ) from error
        except (tarfile.TarError, OSError) as error:
            raise RuntimeFailure(
                "source", f"the source of {app} at {commit[:12]} cannot be extracted: {error}"
            ) from error
        finally:
            shutil.rmtree(temp_folder, ignore_errors=True)

    async def _download(self, path: str, target: Path) -> None:
        async with self._registry.stream("GET", path) as response:
            with target.open("wb") as file:
                async for chunk in response.content.iter_chunked(CHUNK):
                    file.write(chunk)


async def _remove_tree(folder: Path) -> None:
    """It is moved away at once: who borrows the tree while the files are removed gets another copy."""
    with suppress(FileNotFoundError):
        obsolete_tree = folder.rename(folder.parent / f".{folder.name[:12]}-{uuid.uuid4().hex}")
        await asyncio.to_thread(shutil.rmtree, obsolete_tree, ignore_errors=True)


def extract_archive(archive_file: Path, folder: Path) -> None:
    """Extract the tree into a new folder, without links that point outside. Raises tarfile.TarError, OSError."""
    folder.mkdir()
    with tarfile.open(archive_file, "r:*") as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter=safe_member)  # noqa: S202
        else:  # Python before 3.11.4; lazily: each check sees the links extracted before
            members = (safe_member(member, str(folder)) for member in archive)
            archive.extractall(folder, (member for member in members if member))  # noqa: S202
    folder.chmod(0o755)


def safe_member(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Return the member; None for a link that points outside (deployments warn of it). Raises tarfile.TarError."""
    if member.issym() and (leaves_tree(member.name, member.linkname) or _leads_outside(member, folder)):
        return None
    return tarfile.data_filter(member, folder) if hasattr(tarfile, "data_filter") else check_member(member)


def _leads_outside(link: tarfile.TarInfo, folder: str) -> bool:
    """Whether it points outside through links that were extracted before."""
    root = os.path.realpath(folder)
    target = os.path.realpath(os.path.join(root, os.path.dirname(link.name), link.linkname))
    return os.path.commonpath([root, target]) != root


def check_member(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a file, folder or link that stays inside. Raises tarfile.TarError for anything else."""
    if leaves_tree("", member.name) or (member.islnk() and leaves_tree("", member.linkname)):
        raise tarfile.TarError(f"{member.name} is or points outside")
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise tarfile.TarError(f"{member.name} is not a file, folder or link")
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
