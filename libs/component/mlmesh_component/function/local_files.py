"""The files of a call without a platform: names are local paths."""

from __future__ import annotations

import os
import shutil
import tempfile

from ..problems import invalid_input
from .box_paths import find_unused_path, result_group
from .context import Context
from .items import Item, is_file_item
from .output_files import get_output_path


class LocalFiles:
    """`keep_results`: copy results out of the folder of the call, which is removed after the call."""

    def __init__(self, keep_results: bool = True) -> None:
        self._keep_results = keep_results
        self._results_folder: str | None = None

    def fetch(self, items: list[Item], context: Context) -> list[Item]:
        for item in items:
            if is_file_item(item) and ("\0" in item["data"] or not os.path.isfile(item["data"])):
                raise invalid_input(item["name"], f"there is no file {item['data']!r}")
        return items

    def store(self, outputs: list[Item], context: Context) -> list[Item]:
        return [{**item, "data": self._keep_file(item, context)} if is_file_item(item) else item for item in outputs]

    def _keep_file(self, item: Item, context: Context) -> str:
        path = os.path.abspath(get_output_path(item, context))
        if not self._keep_results or not context.contains_path(path):
            return path
        if self._results_folder is None:
            self._results_folder = tempfile.mkdtemp(prefix="mlmesh-results-")
        name = find_unused_path(result_group(context.request_id), os.path.basename(path), context.stored_paths)
        context.stored_paths.add(name)
        copy_path = os.path.join(self._results_folder, name)
        os.makedirs(os.path.dirname(copy_path), exist_ok=True)
        return shutil.copyfile(path, copy_path)
