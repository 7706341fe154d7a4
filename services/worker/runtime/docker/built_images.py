"""Built images on the engine: which there are, how full its disk is, and their removal."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from aiodocker import Docker

from libs.common.errors import Conflict, NotFound
from services.worker.runtime.docker.client import call_engine
from services.worker.runtime.image_build import APP_LABEL, KEY_LABEL, MESH_LABEL, BuiltImage

HIGH_WATER = 0.8
"""The share of the disk from which on images and caches are removed."""
KEPT_CACHE_BYTES = 10 * 10**9
PRUNE_TIMEOUT_S = 600.0


class BuiltImages:
    def __init__(self, docker: Docker, installation: str, folder: Path) -> None:
        """`folder`: the engine's data, if it is on this host."""
        self._docker, self._installation, self._folder = docker, installation, folder

    async def list_images(self) -> list[BuiltImage]:
        filters = {"label": [f"{MESH_LABEL}={self._installation}", KEY_LABEL]}
        images = await call_engine(self._docker.images.list(filters=filters))
        labelled = ((str(image["Id"]), cast(Mapping[str, str], image["Labels"])) for image in images)
        return [BuiltImage(image_id, labels[APP_LABEL], labels[KEY_LABEL]) for image_id, labels in labelled]

    async def remove(self, image: str) -> None:
        """By each of its names, the last of which the engine keeps while a container uses it."""
        try:
            details = await call_engine(self._docker.images.inspect(image))
            names = [*(details.get("RepoTags") or ()), *(details.get("RepoDigests") or ())] or [image]
            for name in names:
                await self._delete(name)
        except NotFound:
            return

    async def _delete(self, name: str) -> None:
        try:
            await call_engine(self._docker.images.delete(name), PRUNE_TIMEOUT_S)
        except (Conflict, NotFound):  # in use, or gone with a name before
            return

    async def is_disk_full(self) -> bool:
        """False when the disk cannot be seen from here."""
        if not self._folder.is_dir():
            return False
        usage = await asyncio.to_thread(shutil.disk_usage, self._folder)
        return usage.used / usage.total >= HIGH_WATER

    async def prune_build_cache(self) -> None:
        params = {"keep-storage": str(KEPT_CACHE_BYTES)}
        await call_engine(self._post("build/prune", params), PRUNE_TIMEOUT_S)

    async def _post(self, path: str, params: dict[str, str]) -> None:
        async with self._docker._query(path, "POST", params=params) as response:
            await response.read()
