from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from libs.common.settings import Settings
from services.cli.cli_errors import Failure
from services.cli.data_dir import free_disk_space, load_or_create_key, lock_data_dir


def test_a_data_dir_is_locked_by_one_process(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with lock_data_dir(folder):
        with pytest.raises(
            Failure, match=f"{folder} is in use by process {os.getpid()}; stop it, or choose another --data"
        ):
            with lock_data_dir(folder):
                pass
    with lock_data_dir(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failure, match="file is a file, where a folder belongs"):
        with lock_data_dir(tmp_path / "file" / "data"):
            pass


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    key = load_or_create_key(tmp_path, "secret-key")
    assert len(key) >= 43
    assert load_or_create_key(tmp_path, "secret-key") == key
    assert stat.S_IMODE((tmp_path / "secret-key").stat().st_mode) == 0o600


def test_a_preset_key_replaces_what_is_there(tmp_path: Path) -> None:
    load_or_create_key(tmp_path, "admin-token")
    assert load_or_create_key(tmp_path, "admin-token", "mine") == "mine"
    assert load_or_create_key(tmp_path, "admin-token") == "mine"


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o777, 0o701])
@pytest.mark.parametrize("used", [True, False])
def test_a_readable_data_dir_is_restricted(tmp_path: Path, mode: int, used: bool) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    if used:
        (folder / "lock").touch()
        (folder / "mlmesh.db").touch(0o644)
    folder.chmod(mode)
    with lock_data_dir(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_with_other_files_is_not_restricted(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "letters.txt").touch()
    folder.chmod(0o755)
    with pytest.raises(Failure, match="can be read by other users and holds other files; choose another --data"):
        with lock_data_dir(folder):
            pytest.fail("it was opened")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_freeing_disk_space_keeps_process_state_files(tmp_path: Path) -> None:
    task = tmp_path / "scratch" / "tasks" / "w1" / "mlmesh-1-1"
    (task / "outputs").mkdir(parents=True)
    for name in ("container.json", "log", "lease.json", "outputs/large"):
        (task / name).touch()
    with pytest.raises(Failure, match="remove files from that disk"):
        free_disk_space(Settings.from_values(data=tmp_path, disk_reserve=1 << 60))
    names = {path.name for path in tmp_path.rglob("*")}
    assert names == {"scratch", "tasks", "w1", "mlmesh-1-1", "container.json"}
