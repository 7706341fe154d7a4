"""The directory store: its ETag cache, abandoned uploads, and the order of a listing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import pytest

from libs.common.errors import Unavailable
from libs.common.signed_tokens import TokenSigner
from services.databox.store.directory import ABANDONED_AFTER_S, DirectoryStore
from services.databox.store.listing import walk_keys


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(str(tmp_path), TokenSigner("s"), internal_url="http://inside", public_url="http://public")


async def body(content: bytes) -> AsyncIterator[bytes]:
    yield content


def expected_etag(content: bytes) -> str:
    return sha256(content).hexdigest()[:40]


async def test_an_etag_is_the_hash_of_the_content(store: DirectoryStore) -> None:
    assert (await store.put("a/f", body(b"content"))).etag == expected_etag(b"content")


def spoiled_by_bytes(content: bytes) -> Callable[[Path], None]:
    def write_bytes(path: Path) -> None:
        path.write_bytes(content)

    return write_bytes


def a_tag_that_no_header_can_have(path: Path) -> None:
    path.write_text('x"\r\n ' + path.read_text().partition(" ")[2])


def a_folder_with_a_file(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "f").touch()


def a_file_for_its_folder(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.write_text("no folder")


@pytest.mark.parametrize(
    "spoil",
    [
        spoiled_by_bytes(b"\xff\xfe\x00 garbage"),
        spoiled_by_bytes(b"e" * 100_000),
        spoiled_by_bytes(b'"\r\n'),
        a_folder_with_a_file,
        a_file_for_its_folder,
        a_tag_that_no_header_can_have,
    ],
)
async def test_damaged_etag_entries_are_computed_again(
    store: DirectoryStore, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    await store.put("a/f", body(b"content"))
    [remembered] = [path for path in (tmp_path / "etags").rglob("*") if path.is_file()]
    correct = remembered.read_bytes()
    spoil(remembered)
    stat = await store.stat("a/f")
    assert (stat and stat.etag, [stat.key async for stat in store.list("a/")]) == (expected_etag(b"content"), ["a/f"])
    assert remembered.read_bytes() == correct
    spoil(remembered)
    await store.delete("a/f")
    assert await store.stat("a/f") is None
    assert (await store.put("a/f", body(b"other"))).etag == expected_etag(b"other")


async def test_a_file_name_that_is_not_utf_8_is_not_listed(store: DirectoryStore, tmp_path: Path) -> None:
    await store.put("a/f", body(b"content"))
    Path(os.fsdecode(bytes(tmp_path / "objects" / "a") + b"/\xff")).touch()
    assert [stat.key async for stat in store.list("a/")] == ["a/f"]


async def test_a_file_put_there_by_hand_gets_an_etag(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "objects" / "a").mkdir(parents=True)
    (tmp_path / "objects" / "a" / "f").write_bytes(b"by hand")
    await store.ready()
    stat = await store.stat("a/f")
    assert stat is not None
    assert (stat.size, stat.etag) == (7, expected_etag(b"by hand"))


async def test_a_file_changed_by_hand_gets_another_etag(store: DirectoryStore, tmp_path: Path) -> None:
    await store.put("a/f", body(b"first"))
    (tmp_path / "objects" / "a" / "f").write_bytes(b"second")
    stat = await store.stat("a/f")
    assert stat is not None
    assert stat.etag == expected_etag(b"second")


async def test_abandoned_uploads_are_deleted_and_running_ones_stay(store: DirectoryStore, tmp_path: Path) -> None:
    await store.ready()
    old, new = tmp_path / "incoming" / "old", tmp_path / "incoming" / "new"
    old.touch()
    new.touch()
    os.utime(old, (time.time() - ABANDONED_AFTER_S - 1,) * 2)
    await store.ready()
    assert [path.name for path in (tmp_path / "incoming").iterdir()] == ["new"]


async def test_nothing_but_the_file_stays_after_a_put_and_nothing_after_deleting_it(
    store: DirectoryStore, tmp_path: Path
) -> None:
    await store.put("a/b/c/f", body(b"content"))
    assert list((tmp_path / "incoming").iterdir()) == []
    await store.delete("a/b/c/f")
    assert list((tmp_path / "objects").iterdir()) == []
    assert [path for path in (tmp_path / "etags").rglob("*") if path.is_file()] == []


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = DirectoryStore(str(tmp_path / "file" / "store"), TokenSigner("s"), internal_url="", public_url="")
    with pytest.raises(Unavailable):
        await store.ready()


async def test_links_are_under_the_address_of_their_reader(store: DirectoryStore) -> None:
    assert (await store.link("GET", "a/f", 60, "inside")).startswith("http://inside/links/")
    assert (await store.link("GET", "a/f", 60, "public")).startswith("http://public/links/")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a", "b/c", "b/d/e", "b-c", "b0", "z/y"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "secret").touch()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "secret")
    return tmp_path / "tree"


@pytest.mark.parametrize(
    ("prefix", "start_after", "keys"),
    [
        ("", "", ["a", "b-c", "b/c", "b/d/e", "b0", "z/y"]),
        ("b", "", ["b-c", "b/c", "b/d/e", "b0"]),
        ("b/", "", ["b/c", "b/d/e"]),
        ("b/d", "", ["b/d/e"]),
        ("b/", "b/c", ["b/d/e"]),
        ("", "b/", ["b/c", "b/d/e", "b0", "z/y"]),
        ("", "b/cc", ["b/d/e", "b0", "z/y"]),
        ("", "b/d/e", ["b0", "z/y"]),
        ("", "c", ["z/y"]),
        ("", "z/y", []),
        ("none/", "", []),
        ("a/", "", []),
        ("../", "", []),
        ("b/../", "", []),
        ("/", "", []),
        ("..", "", []),
    ],
)
def test_a_tree_is_walked_in_the_order_of_keys(tree: Path, prefix: str, start_after: str, keys: list[str]) -> None:
    assert list(walk_keys(tree, prefix, start_after)) == keys
