"""Standard streams of a subprocess, with limits on size and on time without output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from libs.common.idle_timeout import limit_idle_time
from services.registry.git.error_messages import GitFailed
from services.registry.git.process import GitProcess

MAX_OUTPUT_BYTES = 16_000_000
MAX_ERROR_BYTES = 64_000
CHUNK_BYTES = 64 * 1024
PIPE_CLOSED = (BrokenPipeError, ConnectionResetError, RuntimeError)
"""What writing to a process raises that has ended; uvloop raises RuntimeError."""


async def communicate(process: GitProcess, stdin_data: bytes, idle_timeout: float | None) -> tuple[bytes, bytes]:
    """Write stdin, return stdout and stderr. Raises IdleTimeout after `idle_timeout` seconds without a byte."""
    try:
        async with limit_idle_time(idle_timeout) as restart_timeout, asyncio.TaskGroup() as group:
            output = group.create_task(
                _read_all(_iter_chunks_watched(process.stdout, restart_timeout), MAX_OUTPUT_BYTES)
            )
            errors = group.create_task(
                _read_last(_iter_chunks_watched(process.stderr, restart_timeout), MAX_ERROR_BYTES)
            )
            group.create_task(_write_stdin(process.stdin, stdin_data))
    except* GitFailed as failures:
        raise GitFailed("git printed more than is accepted") from failures
    return output.result(), errors.result()


async def read_stderr(process: GitProcess) -> bytes:
    """The end of stderr; call it when stdout was read to its end."""
    return await _read_last(_iter_chunks(process.stderr), MAX_ERROR_BYTES)


async def _iter_chunks(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while chunk := await stream.read(CHUNK_BYTES):
        yield chunk


async def _iter_chunks_watched(
    stream: asyncio.StreamReader, restart_timeout: Callable[[], None]
) -> AsyncIterator[bytes]:
    async for chunk in _iter_chunks(stream):
        restart_timeout()
        yield chunk


async def _write_stdin(stdin: asyncio.StreamWriter, stdin_data: bytes) -> None:
    """Git may exit before it has read all of stdin; stderr says why."""
    with suppress(*PIPE_CLOSED):
        if stdin_data:
            stdin.write(stdin_data)
            await stdin.drain()
        stdin.close()


async def _read_all(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """Raises GitFailed for more than `limit` bytes."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        if len(buffer) > limit:
            raise GitFailed
    return bytes(buffer)


async def _read_last(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """The last `limit` bytes: the error follows the progress output."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        del buffer[:-limit]
    return bytes(buffer)
