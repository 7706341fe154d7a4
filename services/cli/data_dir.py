"""The data directory of `mlmesh up`: its lock, and keys that are generated once."""

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
"""State file by which the process runtime finds its processes."""


@contextmanager
def lock_data_dir(folder: Path) -> Iterator[None]:
    """Create and lock the directory for this process; the kernel releases the lock when the process ends."""
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
    """Make the directory accessible to its owner only (0700): it holds keys, passwords and files.

    Raises Failure if it holds other files, which other users may need; OSError if another user owns it.
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
    with suppress(OSError):  # on a full disk; the lock holds anyway
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)


def free_disk_space(settings: Settings) -> None:
    """If the disk is full, delete caches and files of stages. Raises Failure if that is not enough."""
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
    """Keeps the state file: a process that still runs must be found and stopped."""
    for path in task.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != PROCESS_STATE_FILE:
            path.unlink(missing_ok=True)


def load_or_create_key(folder: Path, name: str, preset: str | None = None) -> str:
    """The key in `folder/name` (0600): `preset`, else the existing one, else a new one."""
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
    """The existing key, or an empty string. Raises Failure."""
    path = folder / name
    if wrong := preflight.key_problem(path):
        raise Failure(wrong)
    return path.read_text().strip() if path.exists() else ""
