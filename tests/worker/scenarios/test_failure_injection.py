"""Failure injection: truncated files, hostile stages and defects do not stop the worker or its other tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.worker.held_tasks import HeldTask
from services.worker.lease import Lease
from services.worker.lease_runner import LeaseRunner, save_lease
from services.worker.outcome import Outcome
from tests.worker.fake_mesh import FakeMesh
from tests.worker.process_host import list_task_folders, run_worker
from tests.worker.specs import lease_document, make_stage_spec


@pytest.mark.parametrize("half", ["", '{"task": "t0", ', '{"task": "t0"}', "[]"])
async def test_a_lease_that_was_not_wholly_written_is_swept(mesh: FakeMesh, tmp_path: Path, half: str) -> None:
    folder = tmp_path / "scratch" / "tasks" / "w1" / "t0-1"
    folder.mkdir(parents=True)
    (folder / "lease.json").write_text(half)
    (folder / "container.json").write_text(half.replace("[]", ""))
    mesh.add_stage("t1", "")
    async with run_worker(mesh, tmp_path):
        assert (await mesh.wait_for_report())["outcome"] == "succeeded"
        await mesh.wait_until(lambda: mesh.held_tasks == [])
    assert list_task_folders(tmp_path) == []


@pytest.mark.parametrize(
    ("over", "detail"),
    [
        (
            {"spec": {"image": "i"}},
            "this worker cannot read the specification of the stage: timeout: Field required; "
            "upgrade the worker if its release is older than the scheduler's",
        ),
        ({"kind": "batch"}, "this worker does not know tasks of the kind 'batch'; upgrade it"),
    ],
    ids=["specification", "kind"],
)
async def test_a_task_that_this_worker_cannot_read_fails_and_holds_nothing_else_up(
    mesh: FakeMesh, tmp_path: Path, over: dict[str, Any], detail: str
) -> None:
    mesh.waiting_leases.append(lease_document(make_stage_spec(), task="t0", **over))
    mesh.add_stage("t1", "")
    async with run_worker(mesh, tmp_path):
        await mesh.wait_until(lambda: len(mesh.reports) == 2)
        await mesh.wait_until(lambda: mesh.held_tasks == [])
    reports = {report["task"]: (report["outcome"], report["reason"]) for report in mesh.reports}
    assert reports == {"t0": ("failed", {"code": "error", "detail": detail}), "t1": ("succeeded", None)}
    assert list_task_folders(tmp_path) == []


async def test_a_saved_lease_that_this_worker_cannot_read_is_handed_back(mesh: FakeMesh, tmp_path: Path) -> None:
    """Another release may have saved it; its program has not started."""
    lease = Lease.from_json(lease_document(make_stage_spec(), kind="batch"))
    save_lease(lease, tmp_path / "scratch" / "tasks" / "w1" / lease.container_name)
    async with run_worker(mesh, tmp_path):
        report = await mesh.wait_for_report()
        await mesh.wait_until(lambda: mesh.held_tasks == [])
    assert (report["task"], report["outcome"]) == ("t", "returned")
    assert list_task_folders(tmp_path) == []


async def test_an_invalid_lease_is_dropped_and_holds_nothing_else_up(mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.waiting_leases.append(lease_document(make_stage_spec(), task="t0", token=None))
    mesh.add_stage("t1", "")
    async with run_worker(mesh, tmp_path):
        assert (await mesh.wait_for_report())["task"] == "t1"


async def test_a_pipe_in_place_of_the_progress_holds_nothing_up(mesh: FakeMesh, tmp_path: Path) -> None:
    script = """
import os, time
os.remove(os.environ['MLMESH_PROGRESS']) if os.path.exists(os.environ['MLMESH_PROGRESS']) else None
os.mkfifo(os.environ['MLMESH_PROGRESS'])
time.sleep(1)
"""
    mesh.add_stage("t1", script)
    async with run_worker(mesh, tmp_path):
        assert (await mesh.wait_for_report())["outcome"] == "succeeded"


async def test_a_task_that_cannot_be_brought_to_its_end_holds_nothing_else_up(
    mesh: FakeMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker drops the lease; after its expiry the scheduler reassigns the task."""
    report = LeaseRunner._report_outcome

    async def broken(self: LeaseRunner, held_task: HeldTask, outcome: Outcome) -> None:
        if held_task.lease.task == "t1":
            raise TypeError("no such report can be written")
        await report(self, held_task, outcome)

    monkeypatch.setattr(LeaseRunner, "_report_outcome", broken)
    mesh.add_stage("t1", "import time; time.sleep(1)")
    async with run_worker(mesh, tmp_path):
        await mesh.wait_for_status(task="t1")
        await mesh.wait_until(lambda: mesh.held_tasks == [])
        mesh.add_stage("t2", "")
        assert (await mesh.wait_for_report())["task"] == "t2"


@pytest.mark.parametrize(("status", "outcome"), [(0, "succeeded"), (3, "failed")])
async def test_the_last_line_of_the_progress_comes_with_the_result(
    mesh: FakeMesh, tmp_path: Path, status: int, outcome: str
) -> None:
    script = "import os, sys; open(os.environ['MLMESH_PROGRESS'], 'w').write('1/4\\n4/4\\n'); sys.exit(%d)"
    mesh.add_stage("t1", script % status)
    async with run_worker(mesh, tmp_path):
        report = await mesh.wait_for_report()
    assert (report["outcome"], report["progress"]) == (outcome, [4, 4])
