"""What keeps a mesh from working with the files that it has, in sentences that name one and say what to do.

Looked at before a service starts or anything is written: nothing is made over what is left of a mesh.
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

TOKENS = ("admin-token", "internal-token")
SECRET_KEY = "secret-key"  # noqa: S105  a file's name
KEY_BYTES = 4096
"""More than any key has."""
OF_STORE = ("", "objects", "incoming")
TABLE = "gateway/table.json"
OF_A_MESH = ("store/objects", "registry/git", TABLE)
"""What is there only when a database has been there."""
KINDS = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def check(settings: Settings) -> None:
    """The folder of `mlmesh up`. Raises Failure."""
    _none(_of_keys(settings))
    for name in ("registry", "databox", "worker"):
        check_service(settings, name)
    _none(filter(None, [of_folder(settings.data / "gateway"), of_file(settings.data / TABLE)]))
    check_database(settings.database_url)
    _none(_of_remains(settings))


def check_service(settings: Settings, name: str) -> None:
    """Where one service writes. Raises Failure. A gateway by itself goes on without its table on the disk."""
    _none(filter(None, map(of_folder, _folders(settings, name))))


def check_database(url: str) -> None:
    """SQLite's file, when that is what `url` names and it is there. Raises Failure, Damaged."""
    from libs.common.db import damage

    file = damage.database_file(url)
    if file is None:
        return
    for one in (file, *(file.with_name(file.name + more) for more in ("-wal", "-shm"))):
        _none(filter(None, [of_file(one)]))
    if file.exists():
        damage.check_file(file)


def of_folder(folder: Path) -> str | None:
    """Why `folder` cannot be written to, or be made."""
    if wrong := _of_name(folder):
        return wrong
    there = next((one for one in (folder, *folder.parents) if os.path.lexists(one)), folder)
    if not there.is_dir():
        return f"{there} is {_kind(there)}, where a folder belongs; move it away, or choose another place"
    return _kept_from(there, os.R_OK | os.W_OK | os.X_OK)


def _of_name(folder: Path) -> str | None:
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        return f"the folder's name {os.fsencode(folder)!r} is not UTF-8; choose another one"
    if "?" in str(folder):
        return f"the folder's name {folder} has a question mark, which ends a database's address; choose another one"
    return None


def of_file(path: Path, wanted: int = os.R_OK | os.W_OK) -> str | None:
    """Why `path` is no file that can be read and written; one that is not there can be made."""
    if not os.path.lexists(path):
        return None
    if not path.is_file():
        return f"{path} is {_kind(path)}, where a file belongs; move it away, or put the file back"
    return _kept_from(path, wanted)


def of_key(path: Path) -> str | None:
    """Why `path` holds no key; one that is not there can be made."""
    if not os.path.lexists(path):
        return None
    if wrong := of_file(path, os.R_OK):
        return wrong
    with path.open("rb") as file:
        content = file.read(KEY_BYTES).strip()
    if is_key(content, token=path.name in TOKENS):
        return None
    found = "is empty" if not content else "holds no key: one line of plain text is expected"
    if path.name in TOKENS:
        return f"{path} {found}; restore it from a backup, or remove it, and a new one is made"
    return f"{path} {found}; {_restored(path)}"


def is_key(content: bytes, *, token: bool) -> bool:
    """`token`: it travels in headers."""
    if token:
        return re.fullmatch(rb"[!-~]+", content) is not None
    try:
        return bool(content) and content.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _of_keys(settings: Settings) -> Iterator[str]:
    presets = {"admin-token": settings.admin_token, "internal-token": settings.internal_token}
    for name, preset in {**presets, SECRET_KEY: settings.secret_key}.items():
        path = settings.data / name
        if wrong := of_file(path) if preset else of_key(path):
            yield wrong
    path, database = settings.data / SECRET_KEY, settings.data / "mlmesh.db"
    if not settings.secret_key and not path.exists() and not settings.database and _size(database):
        yield f"{path} is missing beside {database.name}; {_restored(path)}, or set MLMESH_SECRET_KEY if that was used"


def _restored(key: Path) -> str:
    return (
        "restore it from a backup, without it the mesh's secrets cannot be read; "
        f"or move {key.parent} away to begin anew"
    )


def _folders(settings: Settings, name: str) -> list[Path]:
    match name:
        case "registry":
            return [settings.data / "registry", settings.data / "registry" / "git"]
        case "worker":
            docker = settings.runtime.startswith("docker:")
            scratch = settings.scratch_folder
            return [(scratch if docker else settings.data) / "cache", scratch, scratch / "tasks"]
        case "databox":
            scheme, _, store = settings.store_url.partition("://")
            return [Path(store) / part for part in OF_STORE] if scheme == "file" else []
    return []


def _of_remains(settings: Settings) -> Iterator[str]:
    """An empty or missing database would make a new mesh over the files of an old one."""
    database = settings.data / "mlmesh.db"
    if settings.database or _size(database):
        return
    old = next((part for part in OF_A_MESH if _is_used(settings.data / part)), None)
    if old:
        found = "is empty" if database.exists() else "is missing"
        yield (
            f"{database} {found}, but {settings.data / old} is of a mesh that had one; "
            f"restore it from a backup, or move {settings.data} away to begin anew"
        )


def _is_used(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else bool(_size(path))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _kind(path: Path) -> str:
    if not path.exists():
        return f"a link to {os.readlink(path)}, which is not there"
    return KINDS.get(stat.S_IFMT(path.stat().st_mode), "a device")


def _kept_from(path: Path, wanted: int) -> str | None:
    """Why this user may not do with `path` what it is for."""
    if os.access(path, wanted, effective_ids=True):
        return None
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return f"{path} is on a file system that is mounted read-only; mount it writable, or choose another place"
    found, done = path.stat(), "read and written" if wanted & os.W_OK else "read"
    if found.st_uid != os.geteuid():
        return (
            f"{path} cannot be {done} by this user: it belongs to {_user(found.st_uid)}; run as that user, or chown it"
        )
    mode = ("u+rw" if wanted & os.W_OK else "u+r") + ("X" if path.is_dir() else "")
    return f"{path} cannot be {done}: its mode is {stat.S_IMODE(found.st_mode):04o}; chmod {mode} {path}"


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def _none(found: Iterator[str]) -> None:
    for sentence in found:
        raise Failure(sentence)
