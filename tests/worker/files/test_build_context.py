"""Folders that are built, and those that are refused before."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.worker.failures import TaskFailed
from services.worker.files import build_context


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "leaf" / "src").mkdir(parents=True)
    (tmp_path / "leaf" / "requirements.txt").write_text("numpy\n")
    (tmp_path / "leaf" / "src" / "a.py").write_text("x = 1\n")
    (tmp_path / "secret.txt").write_text("s3cret")
    return tmp_path


def test_a_folder_is_found(checkout: Path) -> None:
    (checkout / "leaf" / "link").symlink_to("src")
    folder = build_context.find_context(checkout, "leaf")
    assert folder == checkout / "leaf"
    assert build_context.find_context(checkout, ".") == checkout


def test_a_link_out_of_the_folder_is_refused_by_its_name(checkout: Path) -> None:
    (checkout / "leaf" / "src" / "up").symlink_to("../../secret.txt")
    sentence = 'src/up is a link to "../../secret.txt", outside of the folder that is built; copy the file'
    with pytest.raises(TaskFailed, match=re.escape(sentence)):
        build_context.find_context(checkout, "leaf")
    assert build_context.find_context(checkout, ".") == checkout


def test_a_folder_that_is_none_is_refused(checkout: Path) -> None:
    (checkout / "out").symlink_to("/etc")
    for name in ("nowhere", "secret.txt", "out"):
        with pytest.raises(TaskFailed, match=f'there is no folder "{name}" in the repository'):
            build_context.find_context(checkout, name)


def test_a_folder_that_is_too_large_is_refused_without_being_read(checkout: Path) -> None:
    with (checkout / "leaf" / "data").open("wb") as file:
        file.truncate(build_context.MAX_BYTES + 1)
    with pytest.raises(TaskFailed, match=r'the folder "leaf" has more than 2 GB; keep data in a DataBox'):
        build_context.find_context(checkout, "leaf")
