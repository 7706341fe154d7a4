"""The files of a call on this machine, without a platform: names are local paths."""

from __future__ import annotations

import os
import shutil
import tempfile

from ..problems import invalid
from .box_paths import free_path, result_group
from .context import Context
from .items import Item, is_file
from .output_files import returned_file


class LocalFiles:
    """`keeps`: what a call leaves in its own folder is copied to one that stays when the call is over."""

    def __init__(self, keeps: bool = True) -> None:
        self._keeps = keeps
        self._results: str | None = None

    def fetch(self, items: list[Item], context: Context) -> list[Item]:
        for item in items:
            if is_file(item) and ("\0" in item["data"] or not os.path.isfile(item["data"])):
                raise invalid(item["name"], f"there is no file {item['data']!r}")
        return items

    def store(self, outputs: list[Item], context: Context) -> list[Item]:
        return [{**item, "data": self._kept(item, context)} if is_file(item) else item for item in outputs]

    def _kept(self, item: Item, context: Context) -> str:
        path = os.path.abspath(returned_file(item, context))
        if not self._keeps or not context.holds(path):
            return path
        if self._results is None:
            self._results = tempfile.mkdtemp(prefix="mlmesh-results-")
        name = free_path(result_group(context.request_id), os.path.basename(path), context.stored)
        context.stored.add(name)
        kept = os.path.join(self._results, name)
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        return shutil.copyfile(path, kept)
