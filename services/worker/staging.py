"""A stage's files: inputs to this host before it runs, outputs from it afterwards."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.common.errors import MeshError, TooLarge
from libs.common.http.client import Peers
from services.worker import content, transfer
from services.worker.ownership import open_own
from services.worker.patience import patient
from services.worker.shelf import Shelf
from services.worker.shelf import key as shelf_key
from services.worker.tasks import Failed, Lease

INCOMING = "incoming"
"""Beside the inputs: what is still on its way cannot have the name of one."""


@dataclass(frozen=True)
class Output:
    variable: str
    location: dict[str, Any]
    path: Path
    size: int


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


def collect(lease: Lease, folder: Path) -> dict[str, list[Output]]:
    """The files of every output. Raises Failed("output"), which names what cannot be kept."""
    found = {one["name"]: list(_files(one, folder / "outputs" / one["name"])) for one in lease.spec["outputs"]}
    for name, files in found.items():
        if not files:
            raise Failed("output", f"output {name}: the stage wrote no file there")
    return found


def _files(one: dict[str, Any], folder: Path) -> Iterator[Output]:
    def hidden(error: OSError) -> None:
        raise _unreadable(one["name"], os.path.relpath(error.filename, folder), error) from error

    if folder.is_symlink() or not folder.is_dir():
        raise Failed("output", f"output {one['name']}: the stage replaced its folder")
    for parent, folders, files in os.walk(folder, onerror=hidden):
        for name in sorted([*folders, *files]):
            path = Path(parent, name)
            kind = path.lstat()
            relative = path.relative_to(folder).as_posix()
            if not _text(relative):
                raise Failed("output", f"output {one['name']}: the name {os.fsencode(relative)!r} is not UTF-8")
            if stat.S_ISLNK(kind.st_mode) and (led_to := _led_to(path, folder)):
                path, kind = led_to, led_to.lstat()
            if stat.S_ISREG(kind.st_mode):
                yield Output(one["name"], {**one["target"], "file": relative}, path, kind.st_size)
            elif not stat.S_ISDIR(kind.st_mode):
                raise Failed("output", f"output {one['name']}: {relative} is {_kind(kind.st_mode)}")


def _led_to(link: Path, folder: Path) -> Path | None:
    """The regular file of the same output that a link stands for, as `last.ckpt` does; never one outside."""
    try:
        found = link.resolve(strict=True)
        regular = stat.S_ISREG(found.lstat().st_mode)
    except (OSError, RuntimeError):  # it leads nowhere, or (RuntimeError) in a circle
        return None
    return found if regular and found.is_relative_to(folder.resolve()) else None


def _unreadable(variable: str, name: str, error: OSError) -> Failed:
    return Failed("output", f"output {variable}: {name} cannot be read: {error.strerror}")


def _text(name: str) -> bool:
    """Whether a name can be told to others: files may have any bytes in theirs."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link to no file of this output, not a regular file; copy what it leads to"
    names = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return f"{names.get(stat.S_IFMT(mode), 'a device')}, not a regular file"


async def deliver(
    lease: Lease, outputs: dict[str, list[Output]], peers: Peers, shelf: Shelf
) -> dict[str, dict[str, int | str]]:
    """All uploaded; of each variable how much it is, and its SHA-256. Raises Failed("quota") or Failed("output")."""
    path = f"/internal/apps/{lease.app}/targets"
    digests: dict[str, str] = {}

    async def one(output: Output) -> None:
        async def attempt() -> None:
            body = {"files": [{"location": output.location, "size": output.size}]}
            found = await peers.databox.post(path, body)
            try:
                sent = await transfer.upload(peers.session, output.path, output.size, found["targets"][0]["url"])
            except OSError as error:
                raise _unreadable(output.variable, output.location["file"], error) from error
            digests[str(output.path)] = sent
            place = {name: value for name, value in output.location.items() if name != "file"}
            await shelf.put(shelf_key(lease.app, place, output.location["file"], output.size, None), output.path)

        await patient(attempt)

    try:
        await transfer.each([output for files in outputs.values() for output in files], one)
    except Failed:
        raise
    except TooLarge as error:
        raise Failed("quota", error.detail) from error
    except MeshError as error:
        raise Failed("output", f"the outputs cannot be uploaded: {error.detail}") from error
    return {
        name: {
            "files": len(files),
            "bytes": sum(output.size for output in files),
            "sha256": content.of_files((one.location["file"], digests[str(one.path)]) for one in files),
        }
        for name, files in outputs.items()
    }


def discard(folder: Path) -> None:
    """The folder goes, parts that nobody may read or write as well."""
    open_own(folder, folders_only=True)
    shutil.rmtree(folder, ignore_errors=True)
