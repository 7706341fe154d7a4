from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from io import BytesIO, StringIO, TextIOWrapper
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
    mesh.set_replies("PUT", FILES + target, Reply(201, headers={"ETag": '"e"'}))
    assert run("box", "put", "a", str(tmp_path / "x.bin"), place).code == 0
    assert (mesh.requests[0].body, mesh.requests[0].query) == (b"content", {"upload": "1"})


def test_an_empty_file_says_that_it_is_one(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    mesh.set_replies("PUT", f"{FILES}/b/g/x", Reply(201))
    assert run("box", "put", "a", str(tmp_path / "x"), "b/g/", "--overwrite").code == 0
    assert mesh.requests[0].query == {"upload": "1", "overwrite": "true"}


@pytest.fixture
def pipe() -> Iterator[Callable[[bytes], str]]:
    """Creates pipes with content; returns their paths, as a shell's `<(command)` does."""
    ends: list[int] = []

    def create_pipe(content: bytes) -> str:
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        ends.append(reading)
        return f"/dev/fd/{reading}"

    yield create_pipe
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("content", [b"", b"content"])
def test_content_of_a_pipe_is_stored(run: Run, mesh: FakeMesh, pipe: Callable[[bytes], str], content: bytes) -> None:
    mesh.set_replies("PUT", f"{FILES}/b/g/x", Reply(201))
    assert run("box", "put", "a", pipe(content), "b/g/x").out == f"b/g/x  {len(content)} B\n"
    assert (mesh.requests[0].body, mesh.requests[0].query) == (content, {"upload": "1"})


def test_a_dash_is_standard_input(run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.set_replies("PUT", f"{FILES}/b/g/x", Reply(201))
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"\x00typed")))
    assert run("box", "put", "a", "-", "b/g/x").code == 0
    assert mesh.requests[0].body == b"\x00typed"


def test_a_file_of_unknown_size_is_stored_completely(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("PUT", f"{FILES}/b/g/x", Reply(201))
    assert run("box", "put", "a", "/proc/self/limits", "b/g/x").code == 0
    assert mesh.requests[0].body.startswith(b"Limit")


@pytest.mark.parametrize("place", ["b/g", "b/g/"])
def test_a_source_without_a_name_needs_a_target_file_name(
    run: Run, mesh: FakeMesh, pipe: Callable[[bytes], str], place: str
) -> None:
    for source in ("-", pipe(b"x")):
        done = run("box", "put", "a", source, place)
        assert (done.code, "write BOX/GROUP/FILE" in done.err, mesh.requests) == (2, True, [])


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (a_pipe, "is not a regular file"),
        (lambda path: path.symlink_to("nowhere"), "is a link to nothing"),
        (lambda path: path.symlink_to(path.parent), "is a link to a folder"),
        (lambda path: Path(os.fsdecode(bytes(path) + b"\xff")).touch(), "has a name that is not UTF-8"),
    ],
)
def test_a_folder_with_something_that_cannot_be_sent_is_not_sent(
    run: Run, mesh: FakeMesh, tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a").write_text("1")
    make(tmp_path / "f" / "odd")
    done = run("box", "put", "a", str(tmp_path / "f"), "b/g")
    assert (done.code, mesh.requests) == (1, [])
    assert (str(tmp_path / "f" / "odd") in done.err, f" {reason}; nothing was sent" in done.err) == (True, True)


def test_a_folder_is_put_file_by_file(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "f" / "sub").mkdir(parents=True)
    (tmp_path / "f" / "one").write_text("1")
    (tmp_path / "f" / "sub" / "two").write_text("22")
    mesh.set_replies("PUT", f"{FILES}/b/g/one", Reply(201))
    mesh.set_replies("PUT", f"{FILES}/b/g/sub/two", Reply(201))
    assert run("box", "put", "a", str(tmp_path / "f"), "b/g").out == "b/g/one  1 B\nb/g/sub/two  2 B\n"


def test_a_box_alone_is_no_place_for_a_file(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    done = run("box", "put", "a", str(tmp_path / "x"), "b")
    assert (done.code, mesh.requests) == (2, [])
    assert run("box", "rm", "a", "b/").code == 2


def test_a_file_that_exists_is_replaced_only_when_asked(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    exists = {"detail": "the file exists; add ?overwrite=true to replace it", "presigned_put_url": "http://x"}
    mesh.set_replies("PUT", f"{FILES}/b/g/x", Reply(400, exists))
    done = run("box", "put", "a", str(tmp_path / "x"), "b/g/")
    assert (done.code, done.err) == (1, "mlmesh: b/g/x exists; --overwrite replaces it\n")


def test_a_full_box_is_told_with_its_figures(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    mesh.set_replies("PUT", f"{FILES}/b/g/x", Reply(413, {"detail": "box b is full", "used": 9, "capacity": 10}))
    done = run("box", "put", "a", str(tmp_path / "x"), "b/g/")
    assert (done.code, done.err) == (1, "mlmesh: box b is full\n")


def test_a_file_is_fetched_into_a_folder_or_under_a_name(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.set_replies("GET", f"{FILES}/b/g/x", Reply(200, b"content"))
    assert run("box", "get", "a", "b/g/x", str(tmp_path)).out == f"{tmp_path / 'x'}\n"
    assert run("box", "get", "a", "b/g/x", str(tmp_path / "y")).code == 0
    assert [(tmp_path / name).read_bytes() for name in ("x", "y")] == [b"content", b"content"]
    assert mesh.requests[0].query == {"download": "1"}


def test_a_dash_is_standard_output(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("GET", f"{FILES}/b/g/x", Reply(200, b"content"))
    assert run("box", "get", "a", "b/g/x", "-").out == "content"


def test_a_group_does_not_go_to_standard_output(run: Run, mesh: FakeMesh) -> None:
    done = run("box", "get", "a", "b/g/", "-")
    assert (done.code, mesh.requests) == (2, [])


def test_a_device_is_written_to_and_stays_one(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.set_replies("GET", f"{FILES}/b/g/x", Reply(200, b"content"))
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run("box", "get", "a", "b/g/x", str(tmp_path / "pipe")).code == 0
        assert (os.read(reading, 100), (tmp_path / "pipe").is_fifo()) == (b"content", True)
    finally:
        os.close(reading)


@pytest.mark.parametrize("name", ["x" * 255, ".x.part"])
def test_any_name_can_be_fetched_beside_any_other(run: Run, mesh: FakeMesh, tmp_path: Path, name: str) -> None:
    neighbours = [f"{name}.part", f".{name}.part", f"{name}.tmp"] if len(name) < 200 else []
    for other in neighbours:
        (tmp_path / other).write_text("mine")
    mesh.set_replies("GET", f"{FILES}/b/g/{name}", Reply(200, b"content"))
    assert run("box", "get", "a", f"b/g/{name}", str(tmp_path)).code == 0
    assert (tmp_path / name).read_bytes() == b"content"
    assert [(tmp_path / other).read_text() for other in neighbours] == ["mine"] * len(neighbours)


def test_a_group_is_fetched_whole(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.set_replies("GET", f"{FILES}/b/g/", {"items": [{"name": "x"}, {"name": "sub/y"}], "next": None})
    mesh.set_replies("GET", f"{FILES}/b/g/x", Reply(200, b"1"))
    mesh.set_replies("GET", f"{FILES}/b/g/sub/y", Reply(200, b"2"))
    assert run("box", "get", "a", "b/g/", str(tmp_path / "out")).code == 0
    assert ((tmp_path / "out" / "x").read_bytes(), (tmp_path / "out" / "sub" / "y").read_bytes()) == (b"1", b"2")


def test_a_listed_name_cannot_lead_out_of_the_folder(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.set_replies("GET", f"{FILES}/b/g/", {"items": [{"name": "../../evil"}], "next": None})
    done = run("box", "get", "a", "b/g/", str(tmp_path / "out"))
    assert done.code == 1
    assert "leads out of" in done.err


def test_a_truncated_download_leaves_no_file(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.set_replies("GET", f"{FILES}/b/g/x", Reply(200, b"half", {"Content-Length": "8"}))
    assert run("box", "get", "a", "b/g/x", str(tmp_path / "x")).code == 3
    assert not [entry for entry in tmp_path.iterdir() if entry.is_file()]


def test_files_and_boxes_are_listed(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("GET", f"{FILES}/b/g/", {"items": [{"name": "x", "size": 10, "modified": "t"}], "next": None})
    box = {"name": "b", "used": 10, "capacity": 1000, "detached": False}
    mesh.set_replies("GET", "/api/v1/apps/a", {"boxes": [box]})
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
    mesh.set_replies("DELETE", f"{FILES}/b/g/x", Reply(204))
    mesh.set_replies("DELETE", f"{FILES}/b/g/", Reply(204))
    mesh.set_replies("GET", f"{FILES}/b/g/x", {"presigned_get_url": "http://m/links/x"})
    mesh.set_replies("GET", f"{FILES}/b/g/", {"items": [{"name": "x"}], "next": None})
    assert run("box", "rm", "a", "b/g/x").code == 0
    assert run("box", "rm", "a", "b/g/", "-y").code == 0


@pytest.mark.parametrize("place", ["b/g/", "b/g"])
def test_a_group_is_deleted_after_a_question_only(
    run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("n\n"))
    mesh.set_replies("GET", f"{FILES}/b/g/", {"items": [{"name": "x"}, {"name": "y"}], "next": None})
    mesh.set_replies("DELETE", f"{FILES}/b/g/", Reply(204))
    done = run("box", "rm", "a", place)
    assert (done.code, done.out.strip()) == (1, "")
    assert done.err.endswith("mlmesh: nothing is done; there was no yes\n")
    assert [request.method for request in mesh.requests] == ["GET"]
    assert run("box", "rm", "a", place, "--yes").out == "b/g/ is deleted\n"


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("b/g/x", "there is no file b/g/x"),
        ("b/g/", "there is no file in b/g/"),
        ("b/g", "there is no file in b/g/"),
    ],
)
def test_deleting_a_missing_file_fails(run: Run, mesh: FakeMesh, place: str, sentence: str) -> None:
    mesh.set_replies("GET", f"{FILES}/b/g/", {"items": [], "next": None})
    mesh.set_replies("GET", f"{FILES}/b/g/x", Reply(404, {"detail": "there is no file b/g/x"}))
    done = run("box", "rm", "a", place)
    assert (done.code, done.out, done.err) == (1, "", f"mlmesh: {sentence}\n")


def test_a_file_is_not_fetched_over_a_folder(run: Run, mesh: FakeMesh, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    mesh.set_replies("GET", f"{FILES}/b/g/x", Reply(200, b"content"))
    done = run("box", "get", "a", "b/g/x", str(tmp_path))
    assert (done.code, done.out) == (1, "")
    assert done.err == f"mlmesh: {tmp_path}/x is a folder of this machine; name the file that is to be written\n"
