"""Git's processes: their pipes, their ends, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from libs.common.process_group import kill_process_group
from services.registry.git.process import GitProcess, end_process, start_process

pytestmark = pytest.mark.both_loops


async def start(folder: Path, script: str) -> GitProcess:
    return await start_process(("/bin/sh", "-c", script), folder, {"PATH": os.environ["PATH"]})


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


async def test_it_passes_input_output_errors_and_the_exit_code(tmp_path: Path) -> None:
    process = await start(tmp_path, "cat; pwd; echo broken >&2; exit 3")
    process.stdin.write(b"given\n")
    process.stdin.close()
    assert await process.stdout.read() == f"given\n{tmp_path}\n".encode()
    assert await process.stderr.read() == b"broken\n"
    assert await process.wait() == 3
    assert process.returncode == 3
    process.close()


async def test_several_may_wait_for_one_that_still_runs(tmp_path: Path) -> None:
    process = await start(tmp_path, "read line; exit 4")
    waiting = [asyncio.create_task(process.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert process.returncode is None
    process.stdin.write(b"\n")
    assert await asyncio.gather(*waiting) == [4, 4, 4]
    process.close()


async def test_the_programs_that_it_started_are_killed_with_it(tmp_path: Path) -> None:
    process = await start(tmp_path, "sleep 1000 & echo $!; wait")
    child = int(await process.stdout.readline())
    kill_process_group(process)
    assert await process.wait() == -signal.SIGKILL
    wait_until_gone(child)
    process.close()


async def count_descriptors() -> int:
    """When the event loop has closed what it was told to close."""
    for _ in range(3):
        await asyncio.sleep(0)
    return len(os.listdir("/proc/self/fd"))


async def run_to_its_end(folder: Path) -> None:
    process = await start(folder, "exit 0")
    await process.stdout.read()
    await process.wait()
    process.close()


async def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    await run_to_its_end(tmp_path)  # the event loop's own are open now
    before = await count_descriptors()
    for _ in range(5):
        await run_to_its_end(tmp_path)
    assert await count_descriptors() == before


@pytest.mark.parametrize("turns", range(12))
async def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path, turns: int) -> None:
    """After each number of turns of the event loop: its pipes are connected one after another."""
    await run_to_its_end(tmp_path)
    before, children = await count_descriptors(), find_children()
    starting = asyncio.create_task(start(tmp_path, "exec sleep 1000"))
    for _ in range(turns + 1):
        await asyncio.sleep(0)
    starting.cancel()
    try:
        process = await starting
    except asyncio.CancelledError:
        assert find_children() == children
    else:  # it had started
        await end_process(process)
    assert await count_descriptors() == before


def find_children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        await start(tmp_path / "gone", "exit 0")
