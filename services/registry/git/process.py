"""Git's processes, and the pipes to them.

They are started with vfork: the fork of asyncio copies the page tables of the whole service, and stops its event loop
for 10 ms and longer each time.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from threading import Thread
from typing import IO

from libs.common.process_group import end_process_group


@dataclass(frozen=True)
class GitProcess:
    """A running process that leads a session of its own. `end_process` is to be called at the end."""

    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader
    _child: subprocess.Popen[bytes]
    _transports: tuple[asyncio.BaseTransport, ...]

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._child.poll()

    async def wait(self) -> int:
        """Its exit code, once it has ended. That takes no time when the end of its output was read."""
        code = self._child.poll()
        return await _wait_in_thread(self._child) if code is None else code

    def close(self) -> None:
        """Close the pipes, also those that a program which outlives it still holds."""
        for transport in self._transports:
            transport.close()


async def start_process(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], pass_fds: Sequence[int] = ()
) -> GitProcess:
    """Start a program in a folder. Raises OSError."""
    child = subprocess.Popen(  # noqa: ASYNC220  returns within a millisecond
        arguments, bufsize=0, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=folder, env=environment,
        start_new_session=True, pass_fds=pass_fds,
    )  # fmt: skip
    connecting = asyncio.ensure_future(_connect(child))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        await end_process(await connecting)
        raise


async def end_process(process: GitProcess) -> None:
    """Kill it, unless it has ended, with the programs that it started; close its pipes."""
    try:
        await end_process_group(process)
    finally:
        process.close()


async def _connect(child: subprocess.Popen[bytes]) -> GitProcess:
    if child.stdin is None or child.stdout is None or child.stderr is None:
        raise OSError("the process was started without pipes")
    stdin, writing = await _connect_writer(child.stdin)
    stdout, reading_output = await _connect_reader(child.stdout)
    stderr, reading_errors = await _connect_reader(child.stderr)
    return GitProcess(stdin, stdout, stderr, child, (writing, reading_output, reading_errors))


async def _connect_writer(pipe: IO[bytes]) -> tuple[asyncio.StreamWriter, asyncio.BaseTransport]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), pipe
    )
    return asyncio.StreamWriter(transport, protocol, None, loop), transport


async def _connect_reader(pipe: IO[bytes]) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    return reader, transport


async def _wait_in_thread(child: subprocess.Popen[bytes]) -> int:
    """In a thread of its own: the others' are few, and a process that hangs in the kernel would keep one."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def reap() -> None:
        child.wait()
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(ended.set)

    Thread(target=reap, name=f"git {child.pid}", daemon=True).start()
    await ended.wait()
    return child.wait()
