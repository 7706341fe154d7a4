"""Preflight checks of files and folders before a service starts; messages name the path and say what to do.

They run before anything is written, so that a new mesh never overwrites the remains of an old one.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.cli_errors import Failure

if TYPE_CHECKING:
    from libs.common.settings import Settings

TOKEN_FILES = ("admin-token", "internal-token")
SECRET_KEY = "secret-key"  # noqa: S105  a file's name
MAX_KEY_BYTES = 4096
"""Larger than any key."""
STORE_FOLDERS = ("", "objects", "incoming")
ROUTE_TABLE_FILE = "gateway/table.json"
MESH_DATA = ("store/objects", "registry/git", ROUTE_TABLE_FILE)
"""Paths that exist only if there was a database."""
FILE_TYPES = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def check_data_dir(settings: Settings) -> None:
    """Check the data directory of `mlmesh up`. Raises Failure."""
    _raise_first(_key_problems(settings))
    for name in ("registry", "databox", "worker"):
        check_service(settings, name)
    _raise_first(
        filter(None, [folder_problem(settings.data / "gateway"), file_problem(settings.data / ROUTE_TABLE_FILE)])
    )
    check_database(settings.database_url)
    _raise_first(_leftover_problems(settings))


def check_service(settings: Settings, name: str) -> None:
    """Check the folders that a service writes. Raises Failure. The gateway works without its stored table."""
    _raise_first(filter(None, map(folder_problem, _service_folders(settings, name))))


def check_database(url: str) -> None:
    """Check the file of a SQLite database, if it exists. Raises Failure, DatabaseDamaged."""
    from libs.common.db import damage

    file = damage.database_file(url)
    if file is None:
        return
    for path in (file, *(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm"))):
        _raise_first(filter(None, [file_problem(path)]))
    if file.exists():
        damage.check_file(file)


def folder_problem(folder: Path) -> str | None:
    """Why `folder` cannot be written or created; None if it can."""
    if wrong := _folder_name_problem(folder):
        return wrong
    existing = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    if not existing.is_dir():
        return f"{existing} is {_file_type(existing)}, where a folder belongs; move it away, or choose another place"
    return _permission_problem(existing, os.R_OK | os.W_OK | os.X_OK)


def _folder_name_problem(folder: Path) -> str | None:
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        return f"the folder's name {os.fsencode(folder)!r} is not UTF-8; choose another one"
    if "?" in str(folder):
        return f"the folder's name {folder} has a question mark, which ends a database's address; choose another one"
    return None


def file_problem(path: Path, access_mode: int = os.R_OK | os.W_OK) -> str | None:
    """Why `path` is not an accessible file; None if it is, or does not exist."""
    if not os.path.lexists(path):
        return None
    if not path.is_file():
        return f"{path} is {_file_type(path)}, where a file belongs; move it away, or put the file back"
    return _permission_problem(path, access_mode)


def key_problem(path: Path) -> str | None:
    """Why `path` holds no valid key; None if it does, or does not exist."""
    if not os.path.lexists(path):
        return None
    if wrong := file_problem(path, os.R_OK):
        return wrong
    with path.open("rb") as file:
        content = file.read(MAX_KEY_BYTES).strip()
    if is_key(content, token=path.name in TOKEN_FILES):
        return None
    defect = "is empty" if not content else "holds no key: one line of plain text is expected"
    if path.name in TOKEN_FILES:
        return f"{path} {defect}; restore it from a backup, or remove it, and a new one is made"
    return f"{path} {defect}; {_restore_advice(path)}"


def is_key(content: bytes, *, token: bool) -> bool:
    """Whether `content` is a valid key; a `token` must fit into a header."""
    if token:
        return re.fullmatch(rb"[!-~]+", content) is not None
    try:
        return bool(content) and content.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _key_problems(settings: Settings) -> Iterator[str]:
    presets = {"admin-token": settings.admin_token, "internal-token": settings.internal_token}
    for name, preset in {**presets, SECRET_KEY: settings.secret_key}.items():
        path = settings.data / name
        if wrong := file_problem(path) if preset else key_problem(path):
            yield wrong
    path, database = settings.data / SECRET_KEY, settings.data / "mlmesh.db"
    if not settings.secret_key and not path.exists() and not settings.database and _file_size(database):
        advice = f"{_restore_advice(path)}, or set MLMESH_SECRET_KEY if that was used"
        yield f"{path} is missing beside {database.name}; {advice}"


def _restore_advice(key: Path) -> str:
    return (
        "restore it from a backup, without it the mesh's secrets cannot be read; "
        f"or move {key.parent} away to begin anew"
    )


def _service_folders(settings: Settings, name: str) -> list[Path]:
    match name:
        case "registry":
            return [settings.data / "registry", settings.data / "registry" / "git"]
        case "worker":
            docker = settings.runtime.startswith("docker:")
            scratch = settings.scratch_folder
            return [(scratch if docker else settings.data) / "cache", scratch, scratch / "tasks"]
        case "databox":
            scheme, _, store = settings.store_url.partition("://")
            return [Path(store) / part for part in STORE_FOLDERS] if scheme == "file" else []
    return []


def _leftover_problems(settings: Settings) -> Iterator[str]:
    """Files of an old mesh beside an empty or missing database."""
    database = settings.data / "mlmesh.db"
    if settings.database or _file_size(database):
        return
    old = next((part for part in MESH_DATA if _is_used(settings.data / part)), None)
    if old:
        defect = "is empty" if database.exists() else "is missing"
        yield (
            f"{database} {defect}, but {settings.data / old} is of a mesh that had one; "
            f"restore it from a backup, or move {settings.data} away to begin anew"
        )


def _is_used(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else bool(_file_size(path))


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _file_type(path: Path) -> str:
    if not path.exists():
        return f"a link to {os.readlink(path)}, which is not there"
    return FILE_TYPES.get(stat.S_IFMT(path.stat().st_mode), "a device")


def _permission_problem(path: Path, access_mode: int) -> str | None:
    """Why this user cannot access `path`; None if the user can."""
    if os.access(path, access_mode, effective_ids=True):
        return None
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return f"{path} is on a file system that is mounted read-only; mount it writable, or choose another place"
    status, action = path.stat(), "read and written" if access_mode & os.W_OK else "read"
    if status.st_uid != os.geteuid():
        owner = _user_name(status.st_uid)
        return f"{path} cannot be {action} by this user: it belongs to {owner}; run as that user, or chown it"
    mode = ("u+rw" if access_mode & os.W_OK else "u+r") + ("X" if path.is_dir() else "")
    return f"{path} cannot be {action}: its mode is {stat.S_IMODE(status.st_mode):04o}; chmod {mode} {path}"


def _user_name(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def _raise_first(problems: Iterator[str]) -> None:
    for sentence in problems:
        raise Failure(sentence)
