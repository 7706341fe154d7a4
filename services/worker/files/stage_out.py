"""Stage-out: the outputs of a stage are checked and uploaded after it has run."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.common.errors import MeshError, TooLarge
from libs.common.http.client import Peers
from services.worker.failures import Failed
from services.worker.files import cache_key, transfer
from services.worker.files.file_cache import Shelf
from services.worker.files.file_cache import key as shelf_key
from services.worker.lease import Lease
from services.worker.permissions import open_own
from services.worker.retry import patient


@dataclass(frozen=True)
class Output:
    variable: str
    location: dict[str, Any]
    path: Path
    size: int


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
            "sha256": cache_key.of_files((one.location["file"], digests[str(one.path)]) for one in files),
        }
        for name, files in outputs.items()
    }


def discard(folder: Path) -> None:
    """The folder goes, parts that nobody may read or write as well."""
    open_own(folder, folders_only=True)
    shutil.rmtree(folder, ignore_errors=True)
