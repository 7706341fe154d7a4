"""Stage-out: checks and uploads the outputs of a stage after it has run."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from libs.common.errors import MeshError, TooLarge
from libs.common.http.client import ServiceClients
from libs.common.locations import Location
from libs.common.protocol.report import OutputSummary
from libs.common.protocol.stage import StageOutput
from libs.common.protocol.staging import TargetFile, TargetsRequest, TargetsResponse
from services.worker.failures import TaskFailed
from services.worker.files import cache_key, transfer
from services.worker.files.file_cache import FileCache, file_cache_key
from services.worker.permissions import grant_owner_access
from services.worker.retry import retry


@dataclass(frozen=True)
class Output:
    variable: str
    target: Location
    """The folder of the output."""
    name: str
    """Of the file, relative to the folder."""
    path: Path
    size: int

    @property
    def location(self) -> Location:
        return self.target.model_copy(update={"file": self.name})


def collect_outputs(declared: Sequence[StageOutput], folder: Path) -> dict[str, list[Output]]:
    """List the files of every output. Raises TaskFailed("output") for a file that cannot be stored."""
    outputs = {variable.name: list(_list_files(variable, folder / "outputs" / variable.name)) for variable in declared}
    for name, files in outputs.items():
        if not files:
            raise TaskFailed("output", f"output {name}: the stage wrote no file")
    return outputs


def _list_files(variable: StageOutput, folder: Path) -> Iterator[Output]:
    def raise_walk_error(error: OSError) -> None:
        raise _unreadable_error(variable.name, os.path.relpath(error.filename, folder), error) from error

    if folder.is_symlink() or not folder.is_dir():
        raise TaskFailed("output", f"output {variable.name}: the stage replaced its folder")
    for parent, folders, files in os.walk(folder, onerror=raise_walk_error):
        for name in sorted([*folders, *files]):
            path = Path(parent, name)
            status = path.lstat()
            relative = path.relative_to(folder).as_posix()
            if not _is_utf8(relative):
                raise TaskFailed("output", f"output {variable.name}: the name {os.fsencode(relative)!r} is not UTF-8")
            if stat.S_ISLNK(status.st_mode) and (target := _resolve_link(path, folder)):
                path, status = target, target.lstat()
            if stat.S_ISREG(status.st_mode):
                yield Output(variable.name, variable.target, relative, path, status.st_size)
            elif not stat.S_ISDIR(status.st_mode):
                raise TaskFailed("output", f"output {variable.name}: {relative} is {_describe_kind(status.st_mode)}")


def _resolve_link(link: Path, folder: Path) -> Path | None:
    """Resolve a link to a regular file of the same output, such as `last.ckpt`; None for any other link."""
    try:
        target = link.resolve(strict=True)
        regular = stat.S_ISREG(target.lstat().st_mode)
    except (OSError, RuntimeError):  # a dangling link, or (RuntimeError) a loop
        return None
    return target if regular and target.is_relative_to(folder.resolve()) else None


def _unreadable_error(variable: str, name: str, error: OSError) -> TaskFailed:
    return TaskFailed("output", f"output {variable}: {name} cannot be read: {error.strerror}")


def _is_utf8(name: str) -> bool:
    """Whether a file name is UTF-8: names may contain any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _describe_kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link to something outside this output, not a regular file; copy the target"
    names = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return f"{names.get(stat.S_IFMT(mode), 'a device')}, not a regular file"


async def upload_outputs(
    app: str, outputs: Mapping[str, Sequence[Output]], peers: ServiceClients, file_cache: FileCache
) -> dict[str, OutputSummary]:
    """Upload all; return size and SHA-256 of each variable. Raises TaskFailed("quota") or TaskFailed("output")."""
    path = f"/internal/apps/{app}/targets"
    digests: dict[str, str] = {}

    async def upload_one(output: Output) -> None:
        async def upload_once() -> None:
            query = TargetsRequest(files=(TargetFile(location=output.location, size=output.size),))
            [link] = TargetsResponse.model_validate(await peers.databox.post(path, query.to_json())).targets
            try:
                digest = await transfer.upload(peers.session, output.path, output.size, link.url)
            except OSError as error:
                raise _unreadable_error(output.variable, output.name, error) from error
            digests[str(output.path)] = digest
            key = file_cache_key(app, output.target, output.name, output.size, None)
            await file_cache.add(key, output.path)

        await retry(upload_once)

    try:
        await transfer.for_each_parallel([output for files in outputs.values() for output in files], upload_one)
    except TaskFailed:
        raise
    except TooLarge as error:
        raise TaskFailed("quota", error.detail) from error
    except MeshError as error:
        raise TaskFailed("output", f"cannot upload the outputs: {error.detail}") from error
    return {
        name: {
            "files": len(files),
            "bytes": sum(output.size for output in files),
            "sha256": cache_key.hash_files((output.name, digests[str(output.path)]) for output in files),
        }
        for name, files in outputs.items()
    }


def remove_tree(folder: Path) -> None:
    """Remove a folder, including parts whose modes forbid it."""
    grant_owner_access(folder, folders_only=True)
    shutil.rmtree(folder, ignore_errors=True)
