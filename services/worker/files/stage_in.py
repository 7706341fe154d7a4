"""Stage-in: downloads the inputs of a stage before it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.common.errors import MeshError
from libs.common.http.client import ServiceClients
from libs.common.protocol.staging import SourcesRequest, SourcesResponse, StoredFile
from services.worker.failures import TaskFailed
from services.worker.files import transfer
from services.worker.files.file_cache import FileCache, file_cache_key
from services.worker.lease import Lease
from services.worker.retry import retry

INCOMING = "incoming"
"""Folder of partial downloads; separate, so that no partial file has the name of an input."""


def variable_paths(lease: Lease, folder: Path) -> dict[str, Path]:
    """Return the path of each variable of the stage."""
    paths = {
        variable["name"]: _input_path(variable, folder / "inputs" / variable["name"])
        for variable in lease.spec["inputs"]
    }
    return {**paths, **{variable["name"]: folder / "outputs" / variable["name"] for variable in lease.spec["outputs"]}}


def _input_path(variable: dict[str, Any], folder: Path) -> Path:
    if variable["kind"] == "value":
        return folder / f"{variable['name']}{variable.get('suffix') or '.json'}"
    source = variable["source"] or {}
    return (
        folder / str(source["file"]).rsplit("/", 1)[-1] if variable["kind"] == "file" and source.get("file") else folder
    )


async def prepare_inputs(lease: Lease, folder: Path, peers: ServiceClients, file_cache: FileCache) -> None:
    """Download inputs, read-only, and create empty folders for outputs. Raises TaskFailed("input")."""
    for variable in lease.spec["outputs"]:
        target = folder / "outputs" / variable["name"]
        target.mkdir(parents=True)
        target.chmod(0o777)  # any user of the image must write here
    progress = folder / "progress"
    progress.touch()
    progress.chmod(0o666)
    for variable in lease.spec["inputs"]:
        (folder / "inputs" / variable["name"]).mkdir(parents=True)
    targets = variable_paths(lease, folder)
    for variable in (variable for variable in lease.spec["inputs"] if variable["kind"] == "value"):
        targets[variable["name"]].write_text(_value_text(variable["value"]), encoding="utf-8")
    await _download_inputs(lease, targets, folder / INCOMING, peers, file_cache)
    _make_read_only(folder / "inputs")


def _value_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Download:
    url: str
    cache_key: str
    size: int
    target: Path


async def _download_inputs(
    lease: Lease, targets: dict[str, Path], incoming: Path, peers: ServiceClients, file_cache: FileCache
) -> None:
    variables = [variable for variable in lease.spec["inputs"] if variable["kind"] != "value"]
    if not variables:
        return
    incoming.mkdir(exist_ok=True)
    query = SourcesRequest(locations=tuple(variable["source"] for variable in variables), links=True)

    async def download_all() -> None:
        response = await peers.databox.post(f"/internal/apps/{lease.app}/sources", query.to_json())
        sources = SourcesResponse.model_validate(response).sources
        await transfer.for_each_parallel(list(_list_downloads(lease.app, variables, sources, targets)), download_one)

    async def download_one(item: Download) -> None:
        if os.path.exists(item.target) or await file_cache.get_into(item.cache_key, item.size, item.target, incoming):
            return  # a retry keeps complete files
        await transfer.download(peers.session, item.url, item.target, incoming)
        await file_cache.add(item.cache_key, item.target)

    try:
        await retry(download_all)
    except TaskFailed:
        raise
    except MeshError as error:
        raise TaskFailed("input", f"cannot download the inputs: {error.detail}") from error


def _list_downloads(
    app: str, variables: list[dict[str, Any]], sources: Sequence[Sequence[StoredFile]], targets: dict[str, Path]
) -> Iterator[Download]:
    for variable, files in zip(variables, sources, strict=True):
        if not files:
            raise TaskFailed(
                "input", f"input {variable['name']}: there is nothing at {_format_location(variable['source'])}"
            )
        target = targets[variable["name"]]
        single = variable["kind"] == "file"
        for file in files:
            cache_key = file_cache_key(app, variable["source"], "" if single else file.name, file.size, file.etag)
            path = target if single else transfer.safe_join(target, file.name)
            yield Download(file.url, cache_key, file.size, path)


def _format_location(source: dict[str, Any]) -> str:
    return "/".join(str(source[part]) for part in ("box", "group", "area", "file") if source.get(part))


def _make_read_only(folder: Path) -> None:
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            os.chmod(os.path.join(parent, name), 0o444)
        os.chmod(parent, 0o555)  # noqa: S103  any user of the image must read here
