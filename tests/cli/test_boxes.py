from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_mesh import FakeMesh, Reply

FILES = "/a/files"


@pytest.mark.parametrize(
    ("place", "target"),
    [("models/g/new.bin", "/models/g/new.bin"), ("models/g/", "/models/g/x.bin"), ("models/g", "/models/g/x.bin")],
)
def test_a_file_is_put_under_its_name_or_a_new_one(
    run: Run, mesh: FakeMesh, tmp_path: Path, place: str, target: str
) -> None:
    (tmp_path / "x.bin").write_bytes(b"content")
    mesh.answers("PUT", FILES + target, Reply(201, headers={"ETag": '"e"'}))
    assert run("box", "put", "a", str(tmp_path / "x.bin"), place).code == 0
    assert (mesh.asked[0].body, mesh.asked[0].query) == (b"content", {})


def test_an_empty_file_says_that_it_is_one(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    mesh.answers("PUT", f"{FILES}/b/g/x", Reply(201))
    assert run("box", "put", "a", str(tmp_path / "x"), "b/g/", "--overwrite").code == 0
    assert mesh.asked[0].query == {"upload": "1", "overwrite": "true"}


def test_a_folder_is_put_file_by_file(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "f" / "sub").mkdir(parents=True)
    (tmp_path / "f" / "one").write_text("1")
    (tmp_path / "f" / "sub" / "two").write_text("22")
    mesh.answers("PUT", f"{FILES}/b/g/one", Reply(201))
    mesh.answers("PUT", f"{FILES}/b/g/sub/two", Reply(201))
    assert run("box", "put", "a", str(tmp_path / "f"), "b/g").out == "b/g/one  1 B\nb/g/sub/two  2 B\n"


def test_a_box_alone_is_no_place_for_a_file(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    done = run("box", "put", "a", str(tmp_path / "x"), "b")
    assert (done.code, mesh.asked) == (2, [])
    assert run("box", "rm", "a", "b/").code == 2


def test_a_full_box_is_told_with_its_figures(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    mesh.answers("PUT", f"{FILES}/b/g/x", Reply(413, {"detail": "box b is full", "used": 9, "capacity": 10}))
    done = run("box", "put", "a", str(tmp_path / "x"), "b/g/")
    assert (done.code, done.err) == (1, "mlmesh: box b is full\n")


def test_a_file_is_fetched_into_a_folder_or_under_a_name(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.answers("GET", f"{FILES}/b/g/x", Reply(200, b"content"))
    assert run("box", "get", "a", "b/g/x", str(tmp_path)).out == f"{tmp_path / 'x'}\n"
    assert run("box", "get", "a", "b/g/x", str(tmp_path / "y")).code == 0
    assert [(tmp_path / name).read_bytes() for name in ("x", "y")] == [b"content", b"content"]
    assert mesh.asked[0].query == {"download": "1"}


def test_a_group_is_fetched_whole(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.answers("GET", f"{FILES}/b/g/", {"items": [{"name": "x"}, {"name": "sub/y"}], "next": None})
    mesh.answers("GET", f"{FILES}/b/g/x", Reply(200, b"1"))
    mesh.answers("GET", f"{FILES}/b/g/sub/y", Reply(200, b"2"))
    assert run("box", "get", "a", "b/g/", str(tmp_path / "out")).code == 0
    assert ((tmp_path / "out" / "x").read_bytes(), (tmp_path / "out" / "sub" / "y").read_bytes()) == (b"1", b"2")


def test_a_listed_name_cannot_lead_out_of_the_folder(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.answers("GET", f"{FILES}/b/g/", {"items": [{"name": "../../evil"}], "next": None})
    done = run("box", "get", "a", "b/g/", str(tmp_path / "out"))
    assert done.code == 1
    assert "leads out of" in done.err


def test_what_is_cut_off_in_the_middle_leaves_no_file_of_that_name(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.answers("GET", f"{FILES}/b/g/x", Reply(200, b"half", {"Content-Length": "8"}))
    assert run("box", "get", "a", "b/g/x", str(tmp_path / "x")).code == 3
    assert not (tmp_path / "x").exists()


def test_files_and_boxes_are_listed(run: Run, mesh: FakeMesh) -> None:
    mesh.answers("GET", f"{FILES}/b/g/", {"items": [{"name": "x", "size": 10, "modified": "t"}], "next": None})
    box = {"name": "b", "used": 10, "capacity": 1000, "detached": False}
    mesh.answers("GET", "/api/v1/apps/a", {"boxes": [box]})
    assert run("box", "ls", "a", "b/g").out.split() == ["NAME", "SIZE", "MODIFIED", "x", "10", "B", "t"]
    assert run("box", "ls", "a").out.split() == [
        "NAME",
        "USED",
        "CAPACITY",
        "DETACHED",
        "b",
        "10",
        "B",
        "1.0",
        "kB",
        "no",
    ]


def test_a_file_or_a_group_is_removed(run: Run, mesh: FakeMesh) -> None:
    mesh.answers("DELETE", f"{FILES}/b/g/x", Reply(204))
    mesh.answers("DELETE", f"{FILES}/b/g/", Reply(204))
    assert run("box", "rm", "a", "b/g/x").code == 0
    assert run("box", "rm", "a", "b/g/").code == 0
