"""Stage-in: the inputs of a stage are brought to this host before it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.common.errors import MeshError
from libs.common.http.client import Peers
from services.worker.failures import Failed
from services.worker.files import transfer
from services.worker.files.file_cache import Shelf
from services.worker.files.file_cache import key as shelf_key
from services.worker.lease import Lease
from services.worker.retry import patient

INCOMING = "incoming"
"""Beside the inputs: what is still on its way cannot have the name of one."""


def paths(lease: Lease, folder: Path) -> dict[str, Path]:
    """Where each variable of the stage is."""
    found = {one["name"]: _input(one, folder / "inputs" / one["name"]) for one in lease.spec["inputs"]}
    return {**found, **{one["name"]: folder / "outputs" / one["name"] for one in lease.spec["outputs"]}}


def _input(one: dict[str, Any], folder: Path) -> Path:
    if one["kind"] == "value":
        return folder / f"{one['name']}{one.get('suffix') or '.json'}"
    source = one["source"] or {}
    return folder / str(source["file"]).rsplit("/", 1)[-1] if one["kind"] == "file" and source.get("file") else folder


async def bring(lease: Lease, folder: Path, peers: Peers, shelf: Shelf) -> None:
    """Inputs, read-only; empty folders for outputs. Raises Failed("input")."""
    for one in lease.spec["outputs"]:
        target = folder / "outputs" / one["name"]
        target.mkdir(parents=True)
        target.chmod(0o777)  # any user of the image writes here
    progress = folder / "progress"
    progress.touch()
    progress.chmod(0o666)
    for one in lease.spec["inputs"]:
        (folder / "inputs" / one["name"]).mkdir(parents=True)
    where = paths(lease, folder)
    for one in (one for one in lease.spec["inputs"] if one["kind"] == "value"):
        where[one["name"]].write_text(_written(one["value"]), encoding="utf-8")
    await _download(lease, where, folder / INCOMING, peers, shelf)
    _lock(folder / "inputs")


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Download:
    url: str
    key: str
    size: int
    target: Path


async def _download(lease: Lease, where: dict[str, Path], aside: Path, peers: Peers, shelf: Shelf) -> None:
    wanted = [one for one in lease.spec["inputs"] if one["kind"] != "value"]
    if not wanted:
        return
    aside.mkdir(exist_ok=True)
    body = {"locations": [one["source"] for one in wanted], "links": True}

    async def all_of_them() -> None:
        found = await peers.databox.post(f"/internal/apps/{lease.app}/sources", body)
        await transfer.each(list(_downloads(lease.app, wanted, found["sources"], where)), one)

    async def one(item: Download) -> None:
        if os.path.exists(item.target) or await shelf.take(item.key, item.size, item.target, aside):
            return  # a repeated attempt keeps what is whole
        await transfer.download(peers.session, item.url, item.target, aside)
        await shelf.put(item.key, item.target)

    try:
        await patient(all_of_them)
    except Failed:
        raise
    except MeshError as error:
        raise Failed("input", f"the inputs cannot be had: {error.detail}") from error


def _downloads(
    app: str, wanted: list[dict[str, Any]], sources: list[list[dict[str, Any]]], where: dict[str, Path]
) -> Iterator[Download]:
    for one, entries in zip(wanted, sources, strict=True):
        if not entries:
            raise Failed("input", f"input {one['name']}: there is nothing at {_place(one['source'])}")
        target = where[one["name"]]
        single = one["kind"] == "file"
        for found in entries:
            key = shelf_key(app, one["source"], "" if single else found["name"], found["size"], found.get("etag"))
            place = target if single else transfer.inside(target, found["name"])
            yield Download(found["url"], key, found["size"], place)


def _place(source: dict[str, Any]) -> str:
    return "/".join(str(source[part]) for part in ("box", "group", "area", "file") if source.get(part))


def _lock(folder: Path) -> None:
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            os.chmod(os.path.join(parent, name), 0o444)
        os.chmod(parent, 0o555)  # noqa: S103  any user of the image reads here
