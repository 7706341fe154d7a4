"""Cache of models on this host: each is downloaded once per ETag."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from libs.common.http.client import ServiceClients
from libs.common.locations import Location
from libs.common.protocol.staging import SourcesRequest, SourcesResponse, StoredFile
from services.worker.failures import TaskFailed
from services.worker.file_lock import hold_file_lock
from services.worker.files import transfer
from services.worker.retry import retry


class ModelCache:
    def __init__(self, root: Path, peers: ServiceClients) -> None:
        self._root = root
        self._peers = peers

    async def get(self, app: str, location: Location) -> Path:
        """Return the path of the model, downloaded if necessary. Raises TaskFailed("model_missing")."""
        files = await self._list_files(app, location)
        if not files:
            raise TaskFailed("model_missing", str(location))
        version = _combined_etag(files)
        folder = self._root / hashlib.sha256(f"{app} {location.to_json()} {version}".encode()).hexdigest()[:24]
        single = location.file is not None
        sizes = {_file_name(file, single): file.size for file in files}
        if not await asyncio.to_thread(_is_complete, folder, sizes):
            await self._download_locked(app, location, folder, sizes)
        return folder / _file_name(files[0], single) if single else folder

    async def _list_files(self, app: str, location: Location) -> tuple[StoredFile, ...]:
        query = SourcesRequest(locations=(location,), links=True)
        response = await retry(lambda: self._peers.databox.post(f"/internal/apps/{app}/sources", query.to_json()))
        return SourcesResponse.model_validate(response).sources[0]

    async def _download_locked(self, app: str, location: Location, folder: Path, sizes: dict[str, int]) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        async with hold_file_lock(folder.with_suffix(".lock")):
            if not await asyncio.to_thread(_is_complete, folder, sizes):
                await retry(lambda: self._download_once(app, location, folder))

    async def _download_once(self, app: str, location: Location, folder: Path) -> None:
        temp_folder = Path(tempfile.mkdtemp(prefix=".model-", dir=self._root))
        complete, incoming = temp_folder / "whole", temp_folder / "incoming"
        single = location.file is not None

        async def download_file(file: StoredFile) -> None:
            target = transfer.safe_join(complete, _file_name(file, single))
            await transfer.download(self._peers.session, file.url, target, incoming)
            target.chmod(0o444)

        try:
            for subfolder in (complete, incoming):
                subfolder.mkdir()
            await transfer.for_each_parallel(await self._list_files(app, location), download_file)
            complete.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            complete.rename(folder)
        finally:
            shutil.rmtree(temp_folder, ignore_errors=True)


def _file_name(file: StoredFile, single: bool) -> str:
    return file.name.rsplit("/", 1)[-1] if single else file.name


def _is_complete(folder: Path, sizes: dict[str, int]) -> bool:
    """Whether all files have their full size: a host that goes down may leave truncated ones."""
    try:
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False


def _combined_etag(files: Sequence[StoredFile]) -> str:
    if len(files) == 1:
        return files[0].etag
    listing = "\n".join(sorted(f"{file.name} {file.etag}" for file in files))
    return hashlib.sha256(listing.encode()).hexdigest()
