"""Ends a subprocess with the programs that it started; it must be the leader of its own session."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import Protocol

EXIT_WAIT_S = 5.0
"""After SIGKILL. A process that waits for a broken disk ends later."""
PIPE_WAIT_S = 1.0
"""After its exit. A program that left the group may hold the pipes for longer."""
READ_BYTES = 64 * 1024


class Process(Protocol):
    """What asyncio's processes have, and others may."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    @property
    def stdout(self) -> asyncio.StreamReader | None: ...
    @property
    def stderr(self) -> asyncio.StreamReader | None: ...
    async def wait(self) -> int: ...


def kill_process_group(process: Process) -> None:
    """Kill a process and the programs that it started, also those that outlive it."""
    _send_signal(process, signal.SIGKILL)


async def end_process_group(process: Process, grace: float = 0.0) -> None:
    """End a running process and its group: SIGTERM, `grace` seconds, SIGKILL; without grace SIGKILL at once.

    Its pipes are closed afterwards. Raises TimeoutError if it does not end.
    """
    if process.returncode is not None:
        return
    if grace:
        _send_signal(process, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await process.wait()
    if process.returncode is None:
        kill_process_group(process)
        async with asyncio.timeout(EXIT_WAIT_S):
            await process.wait()
    with suppress(TimeoutError):
        async with asyncio.timeout(PIPE_WAIT_S):
            await _read_to_end(process)


async def _read_to_end(process: Process) -> None:
    """The event loop closes a pipe when it has read its end; loops that are closed earlier complain."""
    for pipe in filter(None, (process.stdout, process.stderr)):
        while await pipe.read(READ_BYTES):
            pass


def _send_signal(process: Process, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
