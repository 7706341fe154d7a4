"""The data directory of a stopped mesh, ways to damage it, and the preflight message of `mlmesh up`."""

from __future__ import annotations

import os
import random
import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from libs.common.db import SCHEMA
from libs.common.errors import MeshError
from libs.common.settings import Settings
from services.cli import preflight
from services.cli.data_dir import lock_data_dir

Damage = Callable[[Path], object]
PAGE = 4096
FOLDERS = (
    "store/objects/a", "store/incoming", "store/etags", "scratch/tasks", "cache", "registry/git", "gateway",
)  # fmt: skip


def create_data_dir(data: Path) -> Path:
    """Create the files that a mesh leaves."""
    for folder in FOLDERS:
        (data / folder).mkdir(parents=True)
    data.chmod(0o700)
    for name in ("admin-token", "internal-token", "secret-key"):
        (data / name).write_text("a" * 43 + "\n")
    (data / "lock").write_text("1\n")
    (data / "gateway" / "table.json").write_text("{}")
    (data / "store" / "objects" / "a" / "file").write_text("kept")
    with closing(sqlite3.connect(data / "mlmesh.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE mlmesh_schema (version_num TEXT)")
        connection.execute("INSERT INTO mlmesh_schema VALUES (?)", (SCHEMA,))
        connection.execute("CREATE TABLE things (text TEXT)")
        connection.executemany("INSERT INTO things VALUES (?)", [("x" * 1000,) for _ in range(100)])
        connection.commit()
    return data


def preflight_message(data: Path) -> str:
    """The preflight message of `mlmesh up`; empty if it would start."""
    try:
        with lock_data_dir(data):
            preflight.check_data_dir(Settings.from_values(data=data))
    except MeshError as error:
        return error.detail
    return ""


def read_files(folder: Path) -> dict[str, bytes]:
    """All files with their content, except the lock and SQLite's shared files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("lock", "mlmesh.db-shm", "mlmesh.db-wal")
    }


def remove_path(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def replace_with(what: Callable[[Path], object]) -> Damage:
    """Replace a path by one of another type."""

    def replace_path(path: Path) -> None:
        remove_path(path)
        what(path)

    return replace_path


def truncate_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def fill_with_noise(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def noisy_page(path: Path) -> None:
    """Overwrite a page of another table than the schema's."""
    with path.open("r+b") as file:
        file.seek(PAGE)
        file.write(random.Random(1).randbytes(PAGE))


def create_socket(path: Path) -> None:
    """Create a Unix socket; changes the directory, since a socket address must be short."""
    with closing(socket.socket(socket.AF_UNIX)) as unix_socket:
        working_dir = Path.cwd()
        os.chdir(path.parent)
        try:
            unix_socket.bind(path.name)
        finally:
            os.chdir(working_dir)


a_folder, a_pipe, a_socket = replace_with(Path.mkdir), replace_with(os.mkfifo), replace_with(create_socket)
a_file, a_lost_link = replace_with(Path.touch), replace_with(lambda path: path.symlink_to("/nowhere/it"))


def write_content(content: bytes) -> Damage:
    return lambda path: path.write_bytes(content)
