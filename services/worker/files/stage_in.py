"""Stage-in: downloads the inputs of a stage before it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from libs.common.errors import MeshError
from libs.common.http.client import ServiceClients
from libs.common.locations import Location
from libs.common.protocol.stage import StageInput, StageSpec
from libs.common.protocol.staging import SourcesRequest, SourcesResponse, StoredFile
from services.worker.failures import TaskFailed
from services.worker.files import transfer
from services.worker.files.file_cache import FileCache, file_cache_key
from services.worker.retry import retry

INCOMING = "incoming"
"""Folder of partial downloads; separate, so that no partial file has the name of an input."""


def variable_paths(spec: StageSpec, folder: Path) -> dict[str, Path]:
    """Return the path of each variable of the stage."""
    paths = {variable.name: _input_path(variable, folder / "inputs" / variable.name) for variable in spec.inputs}
    return {**paths, **{variable.name: folder / "outputs" / variable.name for variable in spec.outputs}}


def _input_path(variable: StageInput, folder: Path) -> Path:
    if variable.kind == "value":
        return folder / f"{variable.name}{variable.suffix}"
    file = variable.source.file if variable.source and variable.kind == "file" else None
    return folder / file.rsplit("/", 1)[-1] if file else folder


async def prepare_inputs(app: str, spec: StageSpec, folder: Path, peers: ServiceClients, file_cache: FileCache) -> None:
    """Download inputs, read-only, and create empty folders for outputs. Raises TaskFailed("input")."""
    for output in spec.outputs:
        target = folder / "outputs" / output.name
        target.mkdir(parents=True)
        target.chmod(0o777)  # any user of the image must write here
    progress = folder / "progress"
    progress.touch()
    progress.chmod(0o666)
    for variable in spec.inputs:
        (folder / "inputs" / variable.name).mkdir(parents=True)
    targets = variable_paths(spec, folder)
    for variable in (variable for variable in spec.inputs if variable.kind == "value"):
        targets[variable.name].write_text(_value_text(variable.value), encoding="utf-8")
    await _download_inputs(app, list_file_inputs(spec, targets), folder / INCOMING, peers, file_cache)
    _make_read_only(folder / "inputs")


def _value_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Download:
    url: str
    cache_key: str
    size: int
    target: Path


@dataclass(frozen=True)
class FileInput:
    """An input that is a file or a folder of a box or of an earlier stage."""

    name: str
    source: Location
    target: Path
    single: bool
    """A file, not a folder."""


def list_file_inputs(spec: StageSpec, targets: Mapping[str, Path]) -> list[FileInput]:
    """Raises TaskFailed("input") for one without a source."""
    return [
        FileInput(variable.name, _source(variable), targets[variable.name], variable.kind == "file")
        for variable in spec.inputs
        if variable.kind != "value"
    ]


def _source(variable: StageInput) -> Location:
    if variable.source is None:
        raise TaskFailed("input", f"input {variable.name}: the scheduler named no source")
    return variable.source


async def _download_inputs(
    app: str, inputs: Sequence[FileInput], incoming: Path, peers: ServiceClients, file_cache: FileCache
) -> None:
    if not inputs:
        return
    incoming.mkdir(exist_ok=True)
    query = SourcesRequest(locations=tuple(variable.source for variable in inputs), links=True)

    async def download_all() -> None:
        response = await peers.databox.post(f"/internal/apps/{app}/sources", query.to_json())
        sources = SourcesResponse.model_validate(response).sources
        await transfer.for_each_parallel(list(_list_downloads(app, inputs, sources)), download_one)

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
    app: str, inputs: Sequence[FileInput], sources: Sequence[Sequence[StoredFile]]
) -> Iterator[Download]:
    for variable, files in zip(inputs, sources, strict=True):
        if not files:
            raise TaskFailed("input", f"input {variable.name}: there is nothing at {_format_location(variable.source)}")
        for file in files:
            name = "" if variable.single else file.name
            cache_key = file_cache_key(app, variable.source, name, file.size, file.etag)
            path = variable.target if variable.single else transfer.safe_join(variable.target, file.name)
            yield Download(file.url, cache_key, file.size, path)


def _format_location(source: Location) -> str:
    return "/".join(part for part in (source.box, source.group, source.area, source.file) if part)


def _make_read_only(folder: Path) -> None:
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            os.chmod(os.path.join(parent, name), 0o444)
        os.chmod(parent, 0o555)  # noqa: S103  any user of the image must read here
