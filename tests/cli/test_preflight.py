"""Damaged data directories: each gives one error message, and nothing is overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from libs.common.errors import MeshError
from libs.common.settings import Settings
from services.cli import preflight
from tests.cli.damaged_data_dir import (
    Damage,
    a_file,
    a_folder,
    a_lost_link,
    a_pipe,
    a_socket,
    fill_with_noise,
    noisy_page,
    preflight_message,
    read_files,
    remove_path,
    truncate_half,
    write_content,
)  # fmt: skip

BEGIN_ANEW = "restore it from a backup, or move {data} away to begin anew"
NEW_ONE = "restore it from a backup, or remove it, and a new one is made"
SECRETS = "restore it from a backup, without it the mesh's secrets cannot be read; or move {data} away to begin anew"
NO_FILE = "where a file belongs; move it away, or put the file back"
NO_FOLDER = "where a folder belongs; move it away, or choose another place"
NO_KEY = "holds no key: one line of plain text is expected; "


CASES: list[tuple[str, Damage, str]] = [
    ("mlmesh.db", truncate_half, "the database {path} is damaged (database disk image is malformed); " + BEGIN_ANEW),
    ("mlmesh.db", fill_with_noise, "the database {path} is damaged (file is not a database); " + BEGIN_ANEW),
    ("mlmesh.db", noisy_page, "the database {path} is damaged (database disk image is malformed); " + BEGIN_ANEW),
    ("mlmesh.db", write_content(b"x"), "the database {path} is damaged (file is not a database); " + BEGIN_ANEW),
    (
        "mlmesh.db",
        write_content(b""),
        "{path} is empty, but {data}/store/objects is of a mesh that had one; " + BEGIN_ANEW,
    ),
    ("mlmesh.db", remove_path, "{path} is missing, but {data}/store/objects is of a mesh that had one; " + BEGIN_ANEW),
    ("mlmesh.db", a_folder, "{path} is a folder, " + NO_FILE),
    ("mlmesh.db", a_pipe, "{path} is a pipe, " + NO_FILE),
    ("mlmesh.db", a_lost_link, "{path} is a link to /nowhere/it, which is not there, " + NO_FILE),
    ("mlmesh.db-wal", a_folder, "{path} is a folder, " + NO_FILE),
    ("mlmesh.db-shm", a_pipe, "{path} is a pipe, " + NO_FILE),
    *(
        case
        for name, advice in (("admin-token", NEW_ONE), ("internal-token", NEW_ONE), ("secret-key", SECRETS))
        for case in (
            (name, write_content(b"\xff\xfe\x00"), "{path} " + NO_KEY + advice),
            (name, write_content(b"one\ntwo\n"), "{path} " + NO_KEY + advice),
            (name, write_content(b"x" * 10 + b"\0" * 10), "{path} " + NO_KEY + advice),
            (name, write_content(b""), "{path} is empty; " + advice),
            (name, write_content(b" \n"), "{path} is empty; " + advice),
            (name, a_folder, "{path} is a folder, " + NO_FILE),
            (name, a_pipe, "{path} is a pipe, " + NO_FILE),
            (name, a_lost_link, "{path} is a link to /nowhere/it, which is not there, " + NO_FILE),
        )
    ),
    ("admin-token", write_content(b"two words"), "{path} " + NO_KEY + NEW_ONE),
    (
        "secret-key",
        remove_path,
        "{path} is missing beside mlmesh.db; " + SECRETS + ", or set MLMESH_SECRET_KEY if that was used",
    ),
    ("lock", a_folder, "{path} is a folder, " + NO_FILE),
    ("lock", a_socket, "{path} is a socket, " + NO_FILE),
    ("gateway/table.json", a_folder, "{path} is a folder, " + NO_FILE),
    *(
        (name, a_file, "{path} is a file, " + NO_FOLDER)
        for name in (
            "",
            "cache",
            "gateway",
            "registry",
            "registry/git",
            "scratch",
            "scratch/tasks",
            "store",
            "store/objects",
            "store/incoming",
        )
    ),
    ("scratch", a_lost_link, "{path} is a link to /nowhere/it, which is not there, " + NO_FOLDER),
    ("store", a_pipe, "{path} is a pipe, " + NO_FOLDER),
]
HARMLESS: list[tuple[str, Damage]] = [
    ("lock", remove_path),
    ("admin-token", remove_path),
    ("internal-token", remove_path),
    ("secret-key", write_content(b"two words")),
    ("gateway/table.json", write_content(b"\xff")),
    ("store/etags", a_file),
    ("scratch", remove_path),
    ("cache", remove_path),
    ("mlmesh.db-wal", write_content(b"noise")),
]


@pytest.mark.parametrize(("name", "harm", "sentence"), CASES)
def test_damaged_files_are_reported_and_left_unchanged(data: Path, name: str, harm: Damage, sentence: str) -> None:
    path = data / name if name else data
    harm(path)
    old_state = read_files(data)
    assert preflight_message(data) == sentence.format(path=path, data=data)
    assert read_files(data) == old_state


@pytest.mark.parametrize(("name", "harm"), HARMLESS)
def test_files_that_can_be_recreated_do_not_block_a_start(data: Path, name: str, harm: Damage) -> None:
    harm(data / name)
    assert preflight_message(data) == ""


def test_an_interrupted_first_start_can_be_repeated(tmp_path: Path) -> None:
    """A start was interrupted after the keys were created, with a database without tables."""
    data = tmp_path / "data"
    (data / "store" / "objects").mkdir(parents=True)
    data.chmod(0o700)
    (data / "secret-key").write_text("x")
    assert preflight_message(data) == ""
    (data / "mlmesh.db").touch()
    assert preflight_message(data) == ""


def test_preset_keys_need_no_file(data: Path) -> None:
    (data / "secret-key").unlink()
    (data / "internal-token").write_bytes(b"\xff")
    (data / "admin-token").write_bytes(b"")
    preflight.check_data_dir(Settings.from_values(data=data, secret_key="s", internal_token="i", admin_token="a"))


def test_preflight_checks_paths_outside_the_data_dir(data: Path, tmp_path: Path) -> None:
    for name in ("mlmesh.db", "scratch", "store"):
        remove_path(data / name)
    other = tmp_path / "other"
    other.write_text("x" * 1000)
    elsewhere: list[tuple[dict[str, Any], str]] = [
        ({"database": f"sqlite+aiosqlite:///{other}"}, f"the database {other} is damaged (file is not a database)"),
        ({"scratch": other}, f"{other} is a file, where a folder belongs"),
        ({"store": f"file://{other}"}, f"{other} is a file, where a folder belongs"),
    ]
    for over, sentence in elsewhere:
        with pytest.raises(MeshError) as caught:
            preflight.check_data_dir(Settings.from_values(data=data, **over))
        assert caught.value.detail.startswith(sentence)
    preflight.check_data_dir(
        Settings.from_values(data=data, database="postgresql+asyncpg://u@h/d", store="s3://a:b@h/c")
    )


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
    assert preflight_message(tmp_path / name).startswith(sentence.format(place=tmp_path))
