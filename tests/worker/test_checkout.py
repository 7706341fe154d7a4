"""A tree never reaches outside its folder, with the interpreter's own check and without it."""

import io
import tarfile
from pathlib import Path

import pytest

from services.worker.checkout import extract

LINK, FILE, DEVICE = tarfile.SYMTYPE, tarfile.REGTYPE, tarfile.CHRTYPE


@pytest.fixture(params=["own check", "interpreter's check"], autouse=True)
def check(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "own check":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


def packed(folder: Path, *members: tuple[str, bytes, str]) -> Path:
    file = folder / "source.tar"
    with tarfile.open(file, "w") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, content if kind != FILE else "", 0o755
            info.size = len(content) if kind == FILE else 0
            archive.addfile(info, io.BytesIO(content.encode()))
    return file


def test_files_and_links_inside_are_unpacked(tmp_path: Path) -> None:
    extract(packed(tmp_path, ("a/run.sh", FILE, "echo"), ("a/b/link", LINK, "../run.sh")), tmp_path / "tree")
    assert (tmp_path / "tree/a/b/link").read_text() == "echo"
    assert (tmp_path / "tree/a/run.sh").stat().st_mode & 0o100


@pytest.mark.parametrize(
    "member",
    [("../out", FILE, "x"), ("a/../../out", FILE, "x"), ("a/link", LINK, "../../out"), ("link", LINK, "/etc/passwd"),
     ("null", DEVICE, "")],
    ids=["name", "name within", "link", "absolute link", "device"],
)  # fmt: skip
def test_what_reaches_outside_is_refused(tmp_path: Path, member: tuple[str, bytes, str]) -> None:
    with pytest.raises((tarfile.TarError, OSError)):
        extract(packed(tmp_path, member), tmp_path / "tree")
    assert not (tmp_path / "out").exists()
