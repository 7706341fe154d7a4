"""A full disk, and a stage that exceeds its disk limit."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.provision import Missing
from tests.worker.fake_mesh import FakeMesh
from tests.worker.process_host import list_task_folders, run_worker
from tests.worker.specs import INPUT, OUTPUT

GROWS = """
import os, time
print('writing', flush=True)
with open(os.path.join(os.environ['UNIP_PIPELINE_OUT'], 'x'), 'wb') as file:
    file.write(os.urandom(4_000_000))
time.sleep({seconds})
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 3 MB."""
    if os.getuid() != 0:
        raise Missing("only root can make a small disk")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_stage_that_fills_the_disk_fails_with_that_reason(
    mesh: FakeMesh, tmp_path: Path, small_disk: Path
) -> None:
    mesh.add_stage("t1", GROWS.format(seconds=0), outputs=[OUTPUT])
    async with run_worker(mesh, tmp_path, scratch=small_disk, disk_reserve=0):
        report = await mesh.wait_for_report()
        await mesh.wait_until(lambda: "log-t1" in mesh.ended_logs)
    assert report["reason"] == {"code": "disk_full", "detail": "the worker's disk is full"}
    assert list((small_disk / "tasks" / "w1").iterdir()) == []


async def test_a_stage_is_ended_before_it_touches_the_reserve(mesh: FakeMesh, tmp_path: Path, small_disk: Path) -> None:
    """A stage that has written almost nothing continues."""
    fills = "import os, time; time.sleep(0.5); open('x', 'wb').write(os.urandom(1_500_000)); time.sleep(60)"
    mesh.add_stage("t1", fills)
    mesh.add_stage("t2", "import time; time.sleep(3)")
    async with run_worker(mesh, tmp_path, scratch=small_disk, disk_reserve=2_000_000):
        await mesh.wait_until(lambda: len(mesh.reports) == 2)
    first, second = sorted(mesh.reports, key=lambda report: str(report["task"]))
    assert (first["reason"]["code"], second["outcome"]) == ("disk_full", "succeeded"), first
    assert first["reason"]["detail"].endswith("2000000 are reserved (MLMESH_DISK_RESERVE)")
    assert list((small_disk / "tasks" / "w1").iterdir()) == []


async def test_inputs_that_do_not_fit_on_the_disk_are_said(mesh: FakeMesh, tmp_path: Path, small_disk: Path) -> None:
    mesh.files["b/g/a.csv"] = os.urandom(4_000_000)
    mesh.add_stage("t1", "", inputs=[INPUT])
    mesh.add_stage("t2", "print('next')")
    async with run_worker(mesh, tmp_path, scratch=small_disk):
        await mesh.wait_until(lambda: "log-t2" in mesh.ended_logs)
        await mesh.wait_until(lambda: len(mesh.reports) == 2)
    first, second = sorted(mesh.reports, key=lambda report: str(report["task"]))
    assert (first["reason"]["code"], second["outcome"]) == ("disk_full", "succeeded"), first
    assert "the worker's disk is full" in first["reason"]["detail"]


async def test_a_stage_that_outgrows_its_share_is_ended(
    mesh: FakeMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.worker.files.disk.SCAN_INTERVAL_S", 0.1)
    mesh.add_stage("t1", GROWS.format(seconds=60), outputs=[OUTPUT])
    async with run_worker(mesh, tmp_path, scratch_limit=2_000_000):
        report = await mesh.wait_for_report()
        await mesh.wait_until(lambda: "log-t1" in mesh.ended_logs)
    detail = "it wrote more than 0.002 GB to its worker's disk (MLMESH_SCRATCH_LIMIT)"
    assert (report["outcome"], report["reason"]) == ("failed", {"code": "disk_full", "detail": detail})
    assert mesh.logs["log-t1"] == b"writing\n"
    assert list_task_folders(tmp_path) == []
