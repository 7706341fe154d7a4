"""Models on this host: downloaded once per ETag and kept."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.common.http.client import Peers
from libs.common.locations import Location
from services.worker.failures import Failed
from services.worker.file_lock import locked
from services.worker.files import transfer
from services.worker.retry import patient


@dataclass(frozen=True)
class Model:
    path: Path
    etag: str


class Models:
    def __init__(self, root: Path, peers: Peers) -> None:
        self._root = root
        self._peers = peers

    async def get(self, app: str, where: dict[str, Any]) -> Model:
        """Raises Failed("model_missing")."""
        entries = await self._entries(app, where)
        if not entries:
            raise Failed("model_missing", str(Location.model_validate(where)))
        etag = _etag(entries)
        folder = self._root / hashlib.sha256(f"{app} {where} {etag}".encode()).hexdigest()[:24]
        single = where.get("file") is not None
        sizes = {_name(entry, single): entry["size"] for entry in entries}
        if not await asyncio.to_thread(_is_whole, folder, sizes):
            await self._fetch(app, where, folder, sizes)
        return Model(folder / _name(entries[0], single) if single else folder, etag)

    async def _entries(self, app: str, where: dict[str, Any]) -> list[dict[str, Any]]:
        body = {"locations": [where], "links": True}
        found = await patient(lambda: self._peers.databox.post(f"/internal/apps/{app}/sources", body))
        return list(found["sources"][0])

    async def _fetch(self, app: str, where: dict[str, Any], folder: Path, sizes: dict[str, int]) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        async with locked(folder.with_suffix(".lock")):
            if not await asyncio.to_thread(_is_whole, folder, sizes):
                await patient(lambda: self._once(app, where, folder))

    async def _once(self, app: str, where: dict[str, Any], folder: Path) -> None:
        aside = Path(tempfile.mkdtemp(prefix=".model-", dir=self._root))
        whole, incoming = aside / "whole", aside / "incoming"
        single = where.get("file") is not None

        async def one(entry: dict[str, Any]) -> None:
            target = transfer.inside(whole, _name(entry, single))
            await transfer.download(self._peers.session, entry["url"], target, incoming)
            target.chmod(0o444)

        try:
            for made in (whole, incoming):
                made.mkdir()
            await transfer.each(await self._entries(app, where), one)
            whole.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            whole.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _name(entry: dict[str, Any], single: bool) -> str:
    name: str = entry["name"]
    return name.rsplit("/", 1)[-1] if single else name


def _is_whole(folder: Path, sizes: dict[str, int]) -> bool:
    """A host that goes down may leave files with less than was written to them."""
    try:
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False


def _etag(entries: list[dict[str, Any]]) -> str:
    if len(entries) == 1:
        return str(entries[0]["etag"])
    listed = "\n".join(sorted(f"{entry['name']} {entry['etag']}" for entry in entries))
    return hashlib.sha256(listed.encode()).hexdigest()
