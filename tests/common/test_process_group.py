"""Ends a subprocess with the programs that it started."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process

import pytest

from libs.common.process_group import end_process_group


async def start_shell(script: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", script, stdin=DEVNULL, stdout=PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"started\n"
    return process


@pytest.mark.parametrize("grace", [0.0, 10.0])
async def test_it_ends_with_its_children_and_its_pipes_are_closed(grace: float) -> None:
    process = await start_shell("sleep 60 & echo started; wait")
    await end_process_group(process, grace)
    assert process.returncode is not None
    assert process.stdout is not None
    assert process.stdout.at_eof()


async def test_a_pipe_that_is_released_late_is_closed_too() -> None:
    """A program outside of the group, such as a daemon, holds it for a moment after the end."""
    process = await start_shell("setsid sleep 0.5 & echo started; wait")
    await end_process_group(process)
    assert process.stdout is not None
    assert process.stdout.at_eof()


async def test_a_pipe_that_is_never_released_does_not_hold_it_up() -> None:
    process = await start_shell("setsid sleep 300 & echo started; echo $!; wait")
    assert process.stdout is not None
    outside = int(await process.stdout.readline())
    async with asyncio.timeout(60):
        await end_process_group(process)
    os.kill(outside, signal.SIGKILL)
    assert await process.stdout.read() == b""


async def test_a_process_that_ignores_the_first_signal_is_killed() -> None:
    process = await start_shell("trap '' TERM; echo started; while :; do sleep 0.1; done")
    await end_process_group(process, 0.3)
    assert process.returncode == -9
