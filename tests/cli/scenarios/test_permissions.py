"""Data directories that this user cannot access, and the error message of each command."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from libs.common.settings import Settings
from services.cli import preflight
from services.cli.cli_errors import Failure
from tests.cli.conftest import Run
from tests.cli.damaged_data_dir import Damage, a_file, fill_with_noise, preflight_message, remove_path, write_content

NOBODY = 65534


@pytest.fixture
def of_a_user(data: Path) -> Iterator[Path]:
    """A copy of the data directory, owned by an unprivileged user: file modes do not restrict root."""
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
        shutil.rmtree(place, onerror=lambda _what, path, _why: make_accessible(Path(path).parent, path))


@contextmanager
def acting_as(user: int) -> Iterator[None]:
    was = os.geteuid()
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(was)


def make_accessible(folder: Path, path: str) -> None:
    folder.chmod(0o700)
    remove_path(Path(path))


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
def test_a_file_mode_that_blocks_the_owner_is_reported(of_a_user: Path, name: str, mode: int, sentence: str) -> None:
    path = of_a_user / name
    path.chmod(mode)
    message = preflight_message(of_a_user)
    path.chmod(0o700)
    assert message == f"{path} cannot be {sentence} {path}"


def test_files_of_another_user_are_reported() -> None:
    with acting_as(os.geteuid() or NOBODY):
        messages = [preflight.folder_problem(Path("/")), preflight.file_problem(Path("/etc/passwd"))]
    assert messages == [
        f"{path} cannot be read and written by this user: it belongs to user root; run as that user, or chown it"
        for path in ("/", "/etc/passwd")
    ]


def test_a_key_that_can_only_be_read_is_one(of_a_user: Path) -> None:
    (of_a_user / "secret-key").chmod(0o400)
    assert preflight_message(of_a_user) == ""


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
    ],
)
def test_each_command_reports_it_in_one_line(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    data: Path,
    command: tuple[str, ...],
    variables: dict[str, str],
    sentence: str,
) -> None:
    harms: dict[str, list[tuple[str, Damage]]] = {
        "down": [("internal-token", write_content(b"\xff"))],
        "databox": [("store/objects", a_file)],
        "worker": [("scratch", a_file)],
    }
    for name, harm in harms.get(command[0], [("mlmesh.db", fill_with_noise)]):
        harm(data / name)
    for name, value in {"DATA": str(data), "PORT": "0", **variables}.items():
        monkeypatch.setenv(f"MLMESH_{name}", value)
    if command[0] not in ("up", "down"):
        monkeypatch.setenv("MLMESH_INTERNAL_TOKEN", "t")
    done = run(*(word.format(data=data) for word in command))
    lines = done.err.splitlines()
    assert (done.code, done.out, len(lines)) == (1, "", 1)
    assert lines[0].startswith("mlmesh: " + sentence.format(data=data))


def test_a_docker_worker_does_not_need_the_data_dir(data: Path) -> None:
    """The data directory may be missing: with Docker the cache is in the scratch folder."""
    remove_path(data)
    data.touch()
    scratch = data.parent / "scratch"
    preflight.check_service(Settings.from_values(data=data, scratch=scratch, runtime="docker://"), "worker")
    preflight.check_service(Settings.from_values(data=data), "gateway")
    preflight.check_service(Settings.from_values(data=data), "scheduler")
    with pytest.raises(Failure, match="data is a file, where a folder belongs"):
        preflight.check_service(Settings.from_values(data=data, scratch=scratch), "worker")
