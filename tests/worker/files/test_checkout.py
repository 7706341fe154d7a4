"""An extracted tree never points outside its folder, with and without the interpreter's own check."""

import io
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from libs.common.http.client import open_service_clients
from services.worker.files.checkout import CheckoutCache, extract_archive
from tests.worker.fake_mesh import FakeMesh

LINK, HARD, FILE, DEVICE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.REGTYPE, tarfile.CHRTYPE


@pytest.fixture(params=["own check", "interpreter's check"], autouse=True)
def check(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "own check":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


def make_tar(folder: Path, *members: tuple[str, bytes, str]) -> Path:
    file = folder / "source.tar"
    with tarfile.open(file, "w") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, content if kind != FILE else "", 0o755
            info.size = len(content) if kind == FILE else 0
            archive.addfile(info, io.BytesIO(content.encode()))
    return file


def test_files_and_links_inside_are_unpacked(tmp_path: Path) -> None:
    extract_archive(make_tar(tmp_path, ("a/run.sh", FILE, "echo"), ("a/b/link", LINK, "../run.sh")), tmp_path / "tree")
    assert (tmp_path / "tree/a/b/link").read_text() == "echo"
    assert (tmp_path / "tree/a/run.sh").stat().st_mode & 0o100


@pytest.mark.parametrize(
    "member", [("../out", FILE, "x"), ("a/../../out", FILE, "x"), ("hard", HARD, "../../out"), ("null", DEVICE, "")],
    ids=["name", "name within", "hard link", "device"],
)  # fmt: skip
def test_what_reaches_outside_is_refused(tmp_path: Path, member: tuple[str, bytes, str]) -> None:
    with pytest.raises((tarfile.TarError, OSError)):
        extract_archive(make_tar(tmp_path, member), tmp_path / "tree")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "target", ["../../out", "..", "/etc/passwd", "", "x" * 5000, "a/../../../out", "/"],
    ids=["outside", "folder around", "absolute", "empty", "too long", "by way of a folder", "root"],
)  # fmt: skip
def test_a_link_that_leads_outside_is_left_out_and_the_rest_is_there(tmp_path: Path, target: str) -> None:
    name = "link" if target == ".." else "a/link"
    extract_archive(make_tar(tmp_path, (name, LINK, target), ("b.py", FILE, "x = 1")), tmp_path / "tree")
    assert not (tmp_path / "tree" / name).is_symlink()
    assert (tmp_path / "tree/b.py").read_text() == "x = 1"


@pytest.mark.parametrize(
    ("name", "target"), [("a/link", ".."), ("a/b/link", "../nowhere"), ("link", "..data"), ("..link", "b.py")],
    ids=["the tree itself", "dangling", "two dots in the target", "two dots in the name"],
)  # fmt: skip
def test_a_link_inside_is_kept_wherever_it_leads(tmp_path: Path, name: str, target: str) -> None:
    extract_archive(make_tar(tmp_path, (name, LINK, target)), tmp_path / "tree")
    assert (tmp_path / "tree" / name).readlink() == Path(target)


def test_a_link_that_leads_outside_by_way_of_another_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    members = [("a/b/up", LINK, "../.."), ("out", LINK, "a/b/up/../secret"), ("b.py", FILE, "x = 1")]
    extract_archive(make_tar(tmp_path, *members), tmp_path / "tree")
    assert not (tmp_path / "tree/out").is_symlink()
    assert (tmp_path / "tree/b.py").read_text() == "x = 1"


async def test_a_tree_is_away_before_its_files_are_removed(
    mesh: FakeMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who borrows it meanwhile would be given a folder that becomes empty."""
    tree = tmp_path / "leaf" / "c0ffee"
    tree.mkdir(parents=True)
    seen: list[bool] = []
    remove = shutil.rmtree

    def watch(path: Path, **options: Any) -> None:
        seen.append(tree.exists())
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", watch)
    async with open_service_clients(mesh.make_settings(tmp_path)) as peers:
        async with CheckoutCache(tmp_path, peers.registry).borrow("leaf", "c0ffee") as borrowed:
            assert borrowed == tree
    assert seen == [False]
    assert list(tree.parent.iterdir()) == []
