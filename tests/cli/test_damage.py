"""Parts of a data folder that cannot be used: each is one sentence, and nothing is made over what is left."""

from __future__ import annotations

import os
import random
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.common.db import SCHEMA
from libs.common.errors import MeshError
from libs.common.settings import Settings
from services.cli import damage
from services.cli.folder import locked
from tests.cli.conftest import Run

Damage = Callable[[Path], object]
PAGE = 4096
NOBODY = 65534
BEGIN_ANEW = "restore it from a backup, or move {data} away to begin anew"
NEW_ONE = "restore it from a backup, or remove it, and a new one is made"
SECRETS = "restore it from a backup, without it the mesh's secrets cannot be read; or move {data} away to begin anew"
NO_FILE = "where a file belongs; move it away, or put the file back"
NO_FOLDER = "where a folder belongs; move it away, or choose another place"
NO_KEY = "holds no key: one line of plain text is expected; "


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What a mesh leaves."""
    data = tmp_path / "data"
    for folder in (
        "store/objects/a",
        "store/incoming",
        "store/etags",
        "scratch/tasks",
        "cache",
        "registry/git",
        "gateway",
    ):
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


def said(data: Path) -> str:
    """What `mlmesh up` would say; nothing when it would start."""
    try:
        with locked(data):
            damage.check(Settings.of(data=data))
    except MeshError as error:
        return error.detail
    return ""


def state(folder: Path) -> dict[str, bytes]:
    """Files with what is in them; the lock is for whoever comes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("lock", "mlmesh.db-shm", "mlmesh.db-wal")
    }


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def made(what: Callable[[Path], object]) -> Damage:
    """Something of another kind in its place."""

    def damaged(path: Path) -> None:
        remove(path)
        what(path)

    return damaged


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def noise(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def noisy_page(path: Path) -> None:
    """Not the first: that of our own table."""
    with path.open("r+b") as file:
        file.seek(PAGE)
        file.write(random.Random(1).randbytes(PAGE))


def bound(path: Path) -> None:
    """A socket; its address may be long."""
    with closing(socket.socket(socket.AF_UNIX)) as made:
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


a_folder, a_pipe, a_socket = made(Path.mkdir), made(os.mkfifo), made(bound)
a_file, a_lost_link = made(Path.touch), made(lambda path: path.symlink_to("/nowhere/it"))


def text(content: bytes) -> Damage:
    return lambda path: path.write_bytes(content)


CASES: list[tuple[str, Damage, str]] = [
    ("mlmesh.db", half, "the database {path} is damaged (database disk image is malformed); " + BEGIN_ANEW),
    ("mlmesh.db", noise, "the database {path} is damaged (file is not a database); " + BEGIN_ANEW),
    ("mlmesh.db", noisy_page, "the database {path} is damaged (database disk image is malformed); " + BEGIN_ANEW),
    ("mlmesh.db", text(b"x"), "the database {path} is damaged (file is not a database); " + BEGIN_ANEW),
    ("mlmesh.db", text(b""), "{path} is empty, but {data}/store/objects is of a mesh that had one; " + BEGIN_ANEW),
    ("mlmesh.db", remove, "{path} is missing, but {data}/store/objects is of a mesh that had one; " + BEGIN_ANEW),
    ("mlmesh.db", a_folder, "{path} is a folder, " + NO_FILE),
    ("mlmesh.db", a_pipe, "{path} is a pipe, " + NO_FILE),
    ("mlmesh.db", a_lost_link, "{path} is a link to /nowhere/it, which is not there, " + NO_FILE),
    ("mlmesh.db-wal", a_folder, "{path} is a folder, " + NO_FILE),
    ("mlmesh.db-shm", a_pipe, "{path} is a pipe, " + NO_FILE),
    *(
        case
        for name, advice in (("admin-token", NEW_ONE), ("internal-token", NEW_ONE), ("secret-key", SECRETS))
        for case in (
            (name, text(b"\xff\xfe\x00"), "{path} " + NO_KEY + advice),
            (name, text(b"one\ntwo\n"), "{path} " + NO_KEY + advice),
            (name, text(b"x" * 10 + b"\0" * 10), "{path} " + NO_KEY + advice),
            (name, text(b""), "{path} is empty; " + advice),
            (name, text(b" \n"), "{path} is empty; " + advice),
            (name, a_folder, "{path} is a folder, " + NO_FILE),
            (name, a_pipe, "{path} is a pipe, " + NO_FILE),
            (name, a_lost_link, "{path} is a link to /nowhere/it, which is not there, " + NO_FILE),
        )
    ),
    ("admin-token", text(b"two words"), "{path} " + NO_KEY + NEW_ONE),
    (
        "secret-key",
        remove,
        "{path} is missing beside mlmesh.db; " + SECRETS + ", or set MLMESH_SECRET_KEY if that was used",
    ),
    ("lock", a_folder, "{path} is a folder, " + NO_FILE),
    ("lock", a_socket, "{path} is a socket, " + NO_FILE),
    ("gateway/table.json", a_folder, "{path} is a folder, " + NO_FILE),
    *(
        (name, a_file, "{path} is a file, " + NO_FOLDER)
        for name in (
            "", "cache", "gateway", "registry", "registry/git", "scratch", "scratch/tasks",
            "store", "store/objects", "store/incoming",
        )
    ),
    ("scratch", a_lost_link, "{path} is a link to /nowhere/it, which is not there, " + NO_FOLDER),
    ("store", a_pipe, "{path} is a pipe, " + NO_FOLDER),
]  # fmt: skip
HARMLESS: list[tuple[str, Damage]] = [
    ("lock", remove), ("admin-token", remove), ("internal-token", remove), ("secret-key", text(b"two words")),
    ("gateway/table.json", text(b"\xff")), ("store/etags", a_file), ("scratch", remove), ("cache", remove),
    ("mlmesh.db-wal", text(b"noise")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "harm", "sentence"), CASES)
def test_what_cannot_be_used_is_told_and_left_as_it_is(data: Path, name: str, harm: Damage, sentence: str) -> None:
    path = data / name if name else data
    harm(path)
    before = state(data)
    assert said(data) == sentence.format(path=path, data=data)
    assert state(data) == before


@pytest.mark.parametrize(("name", "harm"), HARMLESS)
def test_what_can_be_made_anew_stops_nobody(data: Path, name: str, harm: Damage) -> None:
    harm(data / name)
    assert said(data) == ""


def test_a_start_that_was_broken_off_is_begun_again(tmp_path: Path) -> None:
    """After its keys were made, and a database without a table."""
    data = tmp_path / "data"
    (data / "store" / "objects").mkdir(parents=True)
    data.chmod(0o700)
    (data / "secret-key").write_text("x")
    assert said(data) == ""
    (data / "mlmesh.db").touch()
    assert said(data) == ""


def test_what_is_preset_needs_no_file(data: Path) -> None:
    (data / "secret-key").unlink()
    (data / "internal-token").write_bytes(b"\xff")
    (data / "admin-token").write_bytes(b"")
    damage.check(Settings.of(data=data, secret_key="s", internal_token="i", admin_token="a"))


def test_what_is_kept_elsewhere_is_looked_at_there(data: Path, tmp_path: Path) -> None:
    for name in ("mlmesh.db", "scratch", "store"):
        remove(data / name)
    other = tmp_path / "other"
    other.write_text("x" * 1000)
    elsewhere: list[tuple[dict[str, Any], str]] = [
        ({"database": f"sqlite+aiosqlite:///{other}"}, f"the database {other} is damaged (file is not a database)"),
        ({"scratch": other}, f"{other} is a file, where a folder belongs"),
        ({"store": f"file://{other}"}, f"{other} is a file, where a folder belongs"),
    ]
    for over, sentence in elsewhere:
        with pytest.raises(MeshError) as found:
            damage.check(Settings.of(data=data, **over))
        assert found.value.detail.startswith(sentence)
    damage.check(Settings.of(data=data, database="postgresql+asyncpg://u@h/d", store="s3://a:b@h/c"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("file/data", "{place}/file is a file, where a folder belongs; move it away, or choose another place"),
        ("a?b", "the folder's name {place}/a?b has a question mark, which ends a database's address"),
        ("a\udcff", r"the folder's name b'{place}/a\xff' is not UTF-8; choose another one"),
    ],
)
def test_a_place_where_no_folder_can_be_is_told(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "file").touch()
    assert said(tmp_path / name).startswith(sentence.format(place=tmp_path))


@pytest.fixture
def of_a_user(data: Path) -> Iterator[Path]:
    """The folder, at a place that everybody reaches, for a user whom modes keep out: root they do not."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    user = os.geteuid() or NOBODY
    try:
        copied = Path(shutil.copytree(data, place / "data"))
        for path in (copied, *copied.rglob("*")):
            os.chown(path, user, -1)
        with acting_as(user):
            yield copied
    finally:
        shutil.rmtree(place, onerror=lambda _what, path, _why: opened(Path(path).parent, path))


@contextmanager
def acting_as(user: int) -> Iterator[None]:
    was = os.geteuid()
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(was)


def opened(folder: Path, path: str) -> None:
    folder.chmod(0o700)
    remove(Path(path))


@pytest.mark.parametrize(
    ("name", "mode", "sentence"),
    [
        ("", 0o500, "read and written: its mode is 0500; chmod u+rwX"),
        ("", 0o000, "read and written: its mode is 0000; chmod u+rwX"),
        ("scratch", 0o000, "read and written: its mode is 0000; chmod u+rwX"),
        ("store/objects", 0o500, "read and written: its mode is 0500; chmod u+rwX"),
        ("mlmesh.db", 0o400, "read and written: its mode is 0400; chmod u+rw"),
        ("secret-key", 0o000, "read: its mode is 0000; chmod u+r"),
        ("lock", 0o000, "read and written: its mode is 0000; chmod u+rw"),
    ],
)
def test_a_mode_that_keeps_its_owner_out_is_told(of_a_user: Path, name: str, mode: int, sentence: str) -> None:
    path = of_a_user / name
    path.chmod(mode)
    found = said(of_a_user)
    path.chmod(0o700)
    assert found == f"{path} cannot be {sentence} {path}"


def test_what_belongs_to_somebody_else_is_told() -> None:
    with acting_as(os.geteuid() or NOBODY):
        found = [damage.of_folder(Path("/")), damage.of_file(Path("/etc/passwd"))]
    assert found == [
        f"{path} cannot be read and written by this user: it belongs to user root; run as that user, or chown it"
        for path in ("/", "/etc/passwd")
    ]


def test_a_key_that_can_only_be_read_is_one(of_a_user: Path) -> None:
    (of_a_user / "secret-key").chmod(0o400)
    assert said(of_a_user) == ""


@pytest.mark.parametrize(
    ("command", "variables", "sentence"),
    [
        (("up", "--data", "{data}"), {}, "the database {data}/mlmesh.db is damaged (file is not a database); "),
        (("down", "--data", "{data}"), {}, "{data}/internal-token holds no key: "),
        (("migrate",), {}, "the database {data}/mlmesh.db is damaged (file is not a database); "),
        (("registry",), {"SECRET_KEY": "x"}, "the database {data}/mlmesh.db is damaged (file is not a database); "),
        (("scheduler",), {}, "the database {data}/mlmesh.db is damaged (file is not a database); "),
        (("databox",), {}, "{data}/store/objects is a file, where a folder belongs; "),
        (("worker",), {}, "{data}/scratch is a file, where a folder belongs; "),
        (("gateway",), {}, "{data}/gateway/table.json is a folder, where a file belongs; "),
    ],
)
def test_each_command_says_it_in_one_line(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    data: Path,
    command: tuple[str, ...],
    variables: dict[str, str],
    sentence: str,
) -> None:
    harms: dict[str, list[tuple[str, Damage]]] = {
        "down": [("internal-token", text(b"\xff"))],
        "databox": [("store/objects", a_file)],
        "worker": [("scratch", a_file)],
        "gateway": [("gateway/table.json", a_folder)],
    }
    for name, harm in harms.get(command[0], [("mlmesh.db", noise)]):
        harm(data / name)
    for name, value in {"DATA": str(data), "PORT": "0", **variables}.items():
        monkeypatch.setenv(f"MLMESH_{name}", value)
    if command[0] not in ("up", "down"):
        monkeypatch.setenv("MLMESH_INTERNAL_TOKEN", "t")
    done = run(*(word.format(data=data) for word in command))
    lines = done.err.splitlines()
    assert (done.code, done.out, len(lines)) == (1, "", 1)
    assert lines[0].startswith("mlmesh: " + sentence.format(data=data))
