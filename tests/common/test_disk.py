"""The reserve of a disk, and what is said when it would be touched."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from libs.common.disk import MAX_RESERVE_BYTES, RESERVE_DIVISOR, Disk
from libs.common.errors import DiskFull


def test_the_reserve_is_what_the_setting_says_or_a_small_part_of_the_disk(tmp_path: Path) -> None:
    total = shutil.disk_usage(tmp_path).total
    assert Disk(tmp_path, 7).free_and_reserve[1] == 7
    assert Disk(tmp_path).free_and_reserve[1] == min(MAX_RESERVE_BYTES, total // RESERVE_DIVISOR)


def test_a_folder_that_is_not_there_yet_is_on_the_disk_above_it(tmp_path: Path) -> None:
    assert Disk(tmp_path / "a" / "b", 0).has_free_space()


def test_what_would_touch_the_reserve_is_refused_with_the_figures(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 1 << 60)
    assert not disk.has_free_space()
    with pytest.raises(DiskFull, match=r"bytes are free, \d+ are reserved \(MLMESH_DISK_RESERVE\)") as full:
        disk.check_free_space()
    assert (full.value.status, full.value.extensions["reserve"]) == (507, 1 << 60)
    Disk(tmp_path, 0).check_free_space(1)
    with pytest.raises(DiskFull):
        Disk(tmp_path, 0).check_free_space(1 << 60)
