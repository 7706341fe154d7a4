"""Unusual file names of inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker.fake_mesh import FakeMesh
from tests.worker.process_host import run_worker
from tests.worker.specs import FOLDER_INPUT

CHECK = """
import os, pathlib
folder = pathlib.Path(os.environ["UNIP_PIPELINE_DATA_IN"])
found = sorted(one for one in folder.rglob("*") if one.is_file())
print(len(found), [one.name for one in found if one.read_text() != str(one.relative_to(folder)) * 1000])
"""


async def test_no_name_of_a_file_is_that_of_another_on_its_way(mesh: FakeMesh, tmp_path: Path) -> None:
    """All files are downloaded concurrently, partial files included."""
    pairs = [(f"x{number}", f".x{number}.part") for number in range(30)]
    names = [*(name for pair in pairs for name in pair), "incoming", "incoming.part", "progress", "inputs/x"]
    mesh.files |= {f"b/g/{name}": (name * 1000).encode() for name in names}
    mesh.add_stage("t1", CHECK, inputs=[FOLDER_INPUT])
    async with run_worker(mesh, tmp_path):
        assert (await mesh.wait_for_report())["outcome"] == "succeeded"
        await mesh.wait_until(lambda: "log-t1" in mesh.ended_logs)
    assert mesh.logs["log-t1"].decode() == f"{len(names)} []\n"


@pytest.mark.parametrize("length", [249, 250, 251, 255])
async def test_a_name_may_be_as_long_as_a_box_allows(mesh: FakeMesh, tmp_path: Path, length: int) -> None:
    name = "n" * length
    mesh.files[f"b/g/{name}"] = (name * 1000).encode()
    mesh.add_stage("t1", CHECK, inputs=[FOLDER_INPUT])
    async with run_worker(mesh, tmp_path):
        assert (await mesh.wait_for_report())["outcome"] == "succeeded"
        await mesh.wait_until(lambda: "log-t1" in mesh.ended_logs)
    assert mesh.logs["log-t1"].decode() == "1 []\n"


async def test_a_name_that_this_host_cannot_have_is_named(mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.files["b/g/" + "n" * 256] = b"x"
    mesh.add_stage("t1", CHECK, inputs=[FOLDER_INPUT])
    async with run_worker(mesh, tmp_path):
        report = await mesh.wait_for_report()
    assert (report["outcome"], report["reason"]["code"]) == ("failed", "input")
    assert report["reason"]["detail"].endswith(f"named {'n' * 256}: File name too long")
