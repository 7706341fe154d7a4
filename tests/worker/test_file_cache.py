"""What a host keeps of the files that it has had."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from services.worker.files.file_cache import Shelf, key
from tests.worker.fake_mesh import SmallMesh
from tests.worker.process_host import INPUT, OUTPUT, worker

AREA = {"area": "runs/r/s/1/out"}
BOX = {"box": "b", "user": "u", "group": "g", "file": "a.csv"}


@pytest.mark.parametrize("link", [True, False])
async def test_what_was_put_is_taken_as_it_was(tmp_path: Path, link: bool) -> None:
    shelf = Shelf(tmp_path / "shelf", link=link)
    source, target = tmp_path / "source", tmp_path / "there" / "target"
    source.write_bytes(b"content")
    assert not await shelf.take("k", 7, target, tmp_path)
    await shelf.put("k", source)
    assert await shelf.take("k", 7, target, tmp_path)
    assert target.read_bytes() == b"content"
    assert os.path.samefile(source, target) == link
    await shelf.put("none", tmp_path / "missing")
    assert not await shelf.take("none", 7, tmp_path / "other", tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["shelf", "source", "there"]


@pytest.mark.parametrize("link", [True, False])
async def test_what_has_lost_bytes_is_forgotten(tmp_path: Path, link: bool) -> None:
    """The host went down before all of it was on the disk."""
    shelf, source = Shelf(tmp_path / "shelf", link=link), tmp_path / "source"
    source.write_bytes(b"content")
    await shelf.put("k", source)
    os.truncate(tmp_path / "shelf" / "k", 3)
    assert not await shelf.take("k", 7, tmp_path / "target", tmp_path)
    assert [one.name for one in tmp_path.rglob("*") if one.is_file()] == ["source"]
    source.write_bytes(b"content")
    await shelf.put("k", source)
    assert await shelf.take("k", 7, tmp_path / "target", tmp_path)


async def test_many_may_put_the_same_at_once(tmp_path: Path) -> None:
    shelf, sources = Shelf(tmp_path / "shelf", link=True), [tmp_path / f"source{number}" for number in range(8)]
    for source in sources:
        source.write_bytes(b"x" * 100_000)
    await asyncio.gather(*(shelf.put("k", source) for source in sources))
    assert {source.stat().st_size for source in sources} == {100_000}
    assert [one.name for one in (tmp_path / "shelf").iterdir()] == ["k"]


async def test_the_file_used_longest_ago_goes_first(tmp_path: Path) -> None:
    shelf, source = Shelf(tmp_path / "shelf", link=False, capacity=100), tmp_path / "source"
    source.write_bytes(b"x" * 30)
    for number, name in enumerate("abc"):
        await shelf.put(name, source)
        os.utime(tmp_path / "shelf" / name, (number, number))
    assert await shelf.take("a", 30, tmp_path / "a", tmp_path)
    await shelf.put("d", source)
    there = {name for name in "abcd" if await shelf.take(name, 30, tmp_path / f"again-{name}", tmp_path)}
    assert there == {"a", "c", "d"}
    source.write_bytes(b"x" * 101)
    await shelf.put("e", source)
    assert not await shelf.take("e", 101, tmp_path / "e", tmp_path)


def test_what_is_in_a_box_is_told_apart_by_its_etag_and_what_an_attempt_left_is_not() -> None:
    assert key("a", BOX, "", 1, "e1") != key("a", BOX, "", 1, "e2")
    assert key("a", AREA, "x", 1, "e1") == key("a", AREA, "x", 1, None)
    found = {key("a", AREA, "x", 1, None), key("b", AREA, "x", 1, None), key("a", AREA, "y", 1, None)}
    assert len({*found, key("a", AREA, "x", 2, None), key("a", {"area": "runs/r/s/2/out"}, "x", 1, None)}) == 5


async def test_a_stage_on_the_same_host_reads_what_the_one_before_has_left_from_there(
    mesh: SmallMesh, tmp_path: Path
) -> None:
    mesh.files["b/g/a.csv"] = b"ab"
    write = "import os, pathlib; pathlib.Path(os.environ['UNIP_PIPELINE_OUT'], 'x').write_text('made')"
    read = """
import os, pathlib
print(pathlib.Path(os.environ['UNIP_PIPELINE_MADE'], 'x').read_text(), os.environ['UNIP_PIPELINE_DATA_IN'][-5:])
"""
    mesh.stage("t1", write, inputs=[INPUT], outputs=[OUTPUT])
    made = {"name": "made", "kind": "folder", "source": OUTPUT["target"]}
    async with worker(mesh, tmp_path):
        await mesh.until(lambda: mesh.reports)
        mesh.fetched.clear()
        mesh.stage("t2", read, inputs=[INPUT, made])
        await mesh.until(lambda: len(mesh.reports) == 2 and "log-t2" in mesh.ended)
    assert (mesh.logs["log-t2"], mesh.fetched) == (b"made a.csv\n", [])
