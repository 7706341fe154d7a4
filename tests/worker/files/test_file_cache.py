"""The file cache of a host."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from libs.common.locations import Location
from libs.common.protocol.stage import StageInput
from services.worker.files.file_cache import FileCache, file_cache_key
from tests.worker.fake_mesh import FakeMesh
from tests.worker.process_host import run_worker
from tests.worker.specs import INPUT, OUTPUT

AREA = OUTPUT.target
BOX = Location(box="b", user="u", group="g", file="a.csv")


@pytest.mark.parametrize("link", [True, False])
async def test_what_was_put_is_taken_as_it_was(tmp_path: Path, link: bool) -> None:
    cache = FileCache(tmp_path / "cache", hard_links=link)
    source, target = tmp_path / "source", tmp_path / "there" / "target"
    source.write_bytes(b"content")
    assert not await cache.get_into("k", 7, target, tmp_path)
    await cache.add("k", source)
    assert await cache.get_into("k", 7, target, tmp_path)
    assert target.read_bytes() == b"content"
    assert os.path.samefile(source, target) == link
    await cache.add("none", tmp_path / "missing")
    assert not await cache.get_into("none", 7, tmp_path / "other", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "source", "there"]


@pytest.mark.parametrize("link", [True, False])
async def test_what_has_lost_bytes_is_forgotten(tmp_path: Path, link: bool) -> None:
    """A host that goes down may leave truncated files."""
    cache, source = FileCache(tmp_path / "cache", hard_links=link), tmp_path / "source"
    source.write_bytes(b"content")
    await cache.add("k", source)
    os.truncate(tmp_path / "cache" / "k", 3)
    assert not await cache.get_into("k", 7, tmp_path / "target", tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["source"]
    source.write_bytes(b"content")
    await cache.add("k", source)
    assert await cache.get_into("k", 7, tmp_path / "target", tmp_path)


async def test_many_may_put_the_same_at_once(tmp_path: Path) -> None:
    cache, sources = (
        FileCache(tmp_path / "cache", hard_links=True),
        [tmp_path / f"source{number}" for number in range(8)],
    )
    for source in sources:
        source.write_bytes(b"x" * 100_000)
    await asyncio.gather(*(cache.add("k", source) for source in sources))
    assert {source.stat().st_size for source in sources} == {100_000}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["k"]


async def test_the_file_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache, source = FileCache(tmp_path / "cache", hard_links=False, capacity=100), tmp_path / "source"
    source.write_bytes(b"x" * 30)
    for number, name in enumerate("abc"):
        await cache.add(name, source)
        os.utime(tmp_path / "cache" / name, (number, number))
    assert await cache.get_into("a", 30, tmp_path / "a", tmp_path)
    await cache.add("d", source)
    cached = {name for name in "abcd" if await cache.get_into(name, 30, tmp_path / f"again-{name}", tmp_path)}
    assert cached == {"a", "c", "d"}
    source.write_bytes(b"x" * 101)
    await cache.add("e", source)
    assert not await cache.get_into("e", 101, tmp_path / "e", tmp_path)


def test_what_is_in_a_box_is_told_apart_by_its_etag_and_what_an_attempt_left_is_not() -> None:
    assert file_cache_key("a", BOX, "", 1, "e1") != file_cache_key("a", BOX, "", 1, "e2")
    assert file_cache_key("a", AREA, "x", 1, "e1") == file_cache_key("a", AREA, "x", 1, None)
    keys = {
        file_cache_key("a", AREA, "x", 1, None),
        file_cache_key("b", AREA, "x", 1, None),
        file_cache_key("a", AREA, "y", 1, None),
    }
    assert (
        len(
            {
                *keys,
                file_cache_key("a", AREA, "x", 2, None),
                file_cache_key("a", Location(area="runs/r/s/2/out"), "x", 1, None),
            }
        )
        == 5
    )


async def test_a_stage_on_the_same_host_reads_what_the_one_before_has_left_from_there(
    mesh: FakeMesh, tmp_path: Path
) -> None:
    mesh.files["b/g/a.csv"] = b"ab"
    write = "import os, pathlib; pathlib.Path(os.environ['UNIP_PIPELINE_OUT'], 'x').write_text('made')"
    read = """
import os, pathlib
print(pathlib.Path(os.environ['UNIP_PIPELINE_MADE'], 'x').read_text(), os.environ['UNIP_PIPELINE_DATA_IN'][-5:])
"""
    mesh.add_stage("t1", write, inputs=[INPUT], outputs=[OUTPUT])
    variable = StageInput(name="made", kind="folder", source=OUTPUT.target)
    async with run_worker(mesh, tmp_path):
        await mesh.wait_until(lambda: mesh.reports)
        mesh.downloads.clear()
        mesh.add_stage("t2", read, inputs=[INPUT, variable])
        await mesh.wait_until(lambda: len(mesh.reports) == 2 and "log-t2" in mesh.ended_logs)
    assert (mesh.logs["log-t2"], mesh.downloads) == (b"made a.csv\n", [])
