"""Processes that escaped from their task's session end with the task or its worker; no others are touched."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.worker.runtime.process import orphans
from services.worker.runtime.process.process_state import read_start_time
from tests.contracts import escapes
from tests.worker.fake_mesh import FakeMesh
from tests.worker.process_host import list_task_folders, run_worker
from tests.worker.test_app import WORKER

COMPONENT = "def predict(x: int) -> int:\n    return x\n"
WAITS = "time.sleep(600)\n"
LIMITED = 'ulimit -S -m "$1"; echo; exec sleep 600'


@pytest.fixture
def escape_folder(tmp_path: Path) -> Iterator[Path]:
    """The folder in which escaped processes write; they are killed after the test."""
    folder = tmp_path / "left"
    folder.mkdir()
    yield folder
    for pid in escapes.left(folder).values():
        if read_start_time(pid):
            os.kill(pid, signal.SIGKILL)


def list_running(folder: Path) -> list[str]:
    return [form for form, pid in escapes.left(folder).items() if read_start_time(pid)]


def add_escaping_task(mesh: FakeMesh, kind: str, folder: Path, then: str) -> None:
    """Add a task that leaves processes behind and then runs `then`."""
    program = escapes.program(folder)
    if kind == "instance":
        mesh.tree = {"app.py": program + COMPONENT}
        mesh.add_instance("t1")
    else:
        mesh.add_stage("t1", program + then, timeout=2.0 if then == WAITS else 60.0)


@pytest.mark.parametrize(
    ("then", "outcome"), [("", "succeeded"), ("raise SystemExit(3)\n", "failed"), (WAITS, "failed")]
)
async def test_what_a_stage_leaves_ends_with_it(
    mesh: FakeMesh, tmp_path: Path, escape_folder: Path, then: str, outcome: str
) -> None:
    add_escaping_task(mesh, "stage", escape_folder, then)
    async with run_worker(mesh, tmp_path):
        assert (await mesh.wait_for_report())["outcome"] == outcome
        await mesh.wait_until(lambda: mesh.held_tasks == [])
        assert list_running(escape_folder) == []
    assert list_task_folders(tmp_path) == []


@pytest.mark.parametrize(("kind", "outcome"), [("stage", "canceled"), ("instance", "stopped")])
async def test_what_a_task_leaves_ends_when_the_scheduler_stops_it(
    mesh: FakeMesh, tmp_path: Path, escape_folder: Path, kind: str, outcome: str
) -> None:
    add_escaping_task(mesh, kind, escape_folder, "time.sleep(600)")
    async with run_worker(mesh, tmp_path):
        await mesh.wait_until(lambda: b"left" in mesh.logs.get("log-t1", b""))
        assert list_running(escape_folder) == [*escapes.FORMS]
        mesh.stops.append({"task": "t1", "token": 7})
        await mesh.notify()
        assert (await mesh.wait_for_report())["outcome"] == outcome
        await mesh.wait_until(lambda: mesh.held_tasks == [])
        assert list_running(escape_folder) == []


@pytest.mark.parametrize("kind", ["stage", "instance"])
async def test_what_a_task_leaves_ends_with_its_worker(
    mesh: FakeMesh, tmp_path: Path, escape_folder: Path, kind: str
) -> None:
    add_escaping_task(mesh, kind, escape_folder, "time.sleep(600)")
    async with run_worker(mesh, tmp_path):
        await mesh.wait_until(lambda: b"left" in mesh.logs.get("log-t1", b""))
    assert list_running(escape_folder) == []


async def test_what_the_tasks_of_a_killed_worker_left_ends_when_the_next_one_starts(
    mesh: FakeMesh, tmp_path: Path, escape_folder: Path
) -> None:
    """The task is killed, too, so that its exit is not reported."""
    add_escaping_task(
        mesh, "stage", escape_folder, "os.kill(os.getppid(), signal.SIGKILL)".join(("import signal\n", "\n" + WAITS))
    )
    first = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, mesh.url, str(tmp_path))
    try:
        await mesh.wait_until(lambda: b"left" in mesh.logs.get("log-t1", b""))
    finally:
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
    assert list_running(escape_folder) == [*escapes.FORMS]
    async with run_worker(mesh, tmp_path / "another"):
        assert list_running(escape_folder) == [*escapes.FORMS]
    async with run_worker(mesh, tmp_path):
        await mesh.wait_until(lambda: mesh.reports)
        await mesh.wait_until(lambda: mesh.held_tasks == [])
        assert list_running(escape_folder) == []
    assert list_task_folders(tmp_path) == []


def start_tagged(tag: int) -> subprocess.Popen[str]:
    words = ["sh", "-c", LIMITED, "sh", str(tag)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


async def test_only_processes_with_a_mark_that_was_named_are_ended(tmp_path: Path) -> None:
    places = [("mesh", tmp_path / "a"), ("mesh", tmp_path / "b"), ("other", tmp_path / "a")]
    tags = [orphans.process_tag(*place) for place in places]
    processes = [start_tagged(tag) for tag in tags]
    try:
        await orphans.kill_tagged({tags[0], orphans.process_tag("mesh", tmp_path / "nothing")})
        assert [read_start_time(process.pid) is None for process in processes] == [True, False, False]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


RUNS_AWAY = """
import os, sys, time
folder, until = sys.argv[1], time.monotonic() + 20
while time.monotonic() < until:
    if os.fork():
        os._exit(0)
    os.setsid()
    with open(folder + "/hops", "a") as hops:
        hops.write(".")
"""
"""Each process starts the next one and exits."""


async def test_processes_that_begin_others_all_the_time_are_ended(tmp_path: Path) -> None:
    tag, hops = orphans.process_tag("mesh", tmp_path), tmp_path / "hops"
    words = ["sh", "-c", 'ulimit -S -m "$1"; exec "$2" -c "$3" "$4"', "sh", str(tag), sys.executable, RUNS_AWAY]
    process = await asyncio.create_subprocess_exec(*words, str(tmp_path))
    await process.wait()
    while not hops.exists() or hops.stat().st_size < 10:  # noqa: ASYNC110  there is no event to wait for
        await asyncio.sleep(0.01)
    await orphans.kill_tagged({tag})
    size = hops.stat().st_size
    await asyncio.sleep(0.3)
    assert hops.stat().st_size == size


@pytest.mark.parametrize("folder", ["/", "/data/scratch/tasks/w1/mlmesh-1-1", "/data/\udcff", "/" + "x" * 4000])
def test_a_mark_is_a_limit_that_stands_in_nobodys_way(folder: str) -> None:
    tag = orphans.process_tag("mesh", Path(folder))
    assert 2**62 <= tag * orphans.LIMIT_UNIT < 2**63
    assert orphans.process_tag("mesh", Path(folder)) == tag
