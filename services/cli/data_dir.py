"""The data folder of `mlmesh up`: its lock, and the keys that are made once."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli import preflight
from services.cli.cli_errors import Failure

if TYPE_CHECKING:
    from libs.common.settings import Settings

KEY_BYTES = 32
PROCESS_STATE_FILE = "container.json"
"""By which the process runtime finds what it started."""


@contextmanager
def lock_data_dir(folder: Path) -> Iterator[None]:
    """The folder, made when missing, for this process alone; the system frees it however the process ends."""
    if wrong := preflight.folder_problem(folder) or preflight.file_problem(folder / "lock"):
        raise Failure(wrong)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        restrict_access(folder)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Failure(f"{folder} cannot be used: {error.strerror}; choose another --data") from error
    try:
        _lock_file(handle, folder)
        yield
    finally:
        os.close(handle)


def restrict_access(folder: Path) -> None:
    """Only its owner gets into the folder, whatever it was made with: keys, passwords and files lie there.

    Raises Failure for one that holds other things, which may be for others; OSError where it is somebody else's.
    """
    if not stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return
    if not (folder / "lock").exists() and any(folder.iterdir()):
        raise Failure(
            f"{folder} can be read by other users and holds other files; choose another --data, or: chmod 700"
        )
    folder.chmod(0o700)


def _lock_file(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(handle, 20, 0).decode(errors="replace").strip()
        raise Failure(
            f"{folder} is in use by process {owner or 'unknown'}; stop it, or choose another --data"
        ) from error
    except OSError as error:
        raise Failure(
            f"{folder / 'lock'} cannot be locked: {error.strerror}; choose a --data on a disk of this machine"
        ) from error
    with suppress(OSError):  # on a full disk: it is locked all the same
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)


def free_disk_space(settings: Settings) -> None:
    """On a full disk what stages and caches left there goes. Raises Failure when that is not enough."""
    from libs.common.disk import Disk

    disk = Disk(settings.data, settings.disk_reserve)
    if disk.has_free_space():
        return
    shutil.rmtree(settings.data / "cache", ignore_errors=True)
    for task in (settings.scratch_folder / "tasks").glob("*/*/"):
        _empty_task_folder(task)
    if not disk.has_free_space():
        raise Failure(f"{disk.describe_full()}; remove files from that disk, or choose another --data")


def _empty_task_folder(task: Path) -> None:
    """But for the record of its process: one that runs still holds its files, and is to be ended."""
    for path in task.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != PROCESS_STATE_FILE:
            path.unlink(missing_ok=True)


def load_or_create_key(folder: Path, name: str, preset: str | None = None) -> str:
    """The secret text in `folder/name` (0600): `preset`, else what is there, else a new one."""
    path = folder / name
    if preset is None and (existing := load_key(folder, name)):
        return existing
    value = preset or secrets.token_urlsafe(KEY_BYTES)
    new = path.with_name(f"{name}.new")
    new.unlink(missing_ok=True)
    new.touch(0o600)
    new.write_text(value + "\n")
    new.replace(path)
    return value


def load_key(folder: Path, name: str) -> str:
    """What was made earlier; nothing when it was not. Raises Failure."""
    path = folder / name
    if wrong := preflight.key_problem(path):
        raise Failure(wrong)
    return path.read_text().strip() if path.exists() else ""
