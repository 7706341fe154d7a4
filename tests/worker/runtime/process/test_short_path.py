"""Short paths of temporary folders."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from services.worker.runtime.process import short_path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the links."""
    place = tmp_path / "s"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / ("deep" * 20) / "tmp"
    folder.mkdir(parents=True)
    return folder


def test_a_deep_folder_has_a_short_name_until_it_is_forgotten(place: Path, folder: Path) -> None:
    link = short_path.shorten_path(folder)
    (link / "file").touch()
    assert (link.parent, [path.name for path in folder.iterdir()]) == (place, ["file"])
    assert short_path.shorten_path(folder) == link
    short_path.remove_short_path(folder)
    short_path.remove_short_path(folder)
    assert list(place.iterdir()) == []


def test_a_short_one_is_its_own_name(place: Path) -> None:
    assert short_path.shorten_path(Path("/scratch/tasks/w1/mlmesh-1-1/tmp")) == Path("/scratch/tasks/w1/mlmesh-1-1/tmp")
    assert list(place.iterdir()) == []


def test_what_somebody_else_has_put_there_is_left_alone(place: Path, folder: Path) -> None:
    name = short_path.shorten_path(folder).name
    (place / name).unlink()
    (place / name).symlink_to("/elsewhere")
    assert short_path.shorten_path(folder) == folder
    short_path.remove_short_path(folder)
    assert (place / name).readlink() == Path("/elsewhere")
