"""What a program that was started reads and prints, bounded in size and, if wanted, in its silence."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from services.registry.git.error_messages import GitFailed

MAX_OUTPUT_BYTES = 16_000_000
MAX_ERROR_BYTES = 64_000
CHUNK_BYTES = 64 * 1024


class IdleTimeout(Exception):
    """The program has printed nothing for too long."""


@dataclass(frozen=True)
class ProcessPipes:
    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader


def get_pipes(process: Process) -> ProcessPipes:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise GitFailed("git was started without pipes")
    return ProcessPipes(process.stdin, process.stdout, process.stderr)


async def communicate(pipes: ProcessPipes, stdin_data: bytes, idle_timeout: float | None) -> tuple[bytes, bytes]:
    """What it prints on its two outputs until their end. Raises Silent after `silence` seconds without a byte."""
    try:
        async with asyncio.timeout(idle_timeout) as watchdog, asyncio.TaskGroup() as group:
            output = group.create_task(
                _read_first(_iter_chunks_watched(pipes.stdout, watchdog, idle_timeout), MAX_OUTPUT_BYTES + 1)
            )
            errors = group.create_task(
                _read_last(_iter_chunks_watched(pipes.stderr, watchdog, idle_timeout), MAX_ERROR_BYTES)
            )
            group.create_task(_write_stdin(pipes.stdin, stdin_data))
    except TimeoutError as error:
        if not watchdog.expired():
            raise
        raise IdleTimeout from error
    if len(output.result()) > MAX_OUTPUT_BYTES:
        raise GitFailed("git printed more than is accepted")
    return output.result(), errors.result()


async def read_stderr(pipes: ProcessPipes) -> bytes:
    """What it says of its failure, when all that it printed was read."""
    return await _read_last(_iter_chunks(pipes.stderr), MAX_ERROR_BYTES)


async def _iter_chunks(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while chunk := await stream.read(CHUNK_BYTES):
        yield chunk


async def _iter_chunks_watched(
    stream: asyncio.StreamReader, watchdog: asyncio.Timeout, idle_timeout: float | None
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    async for chunk in _iter_chunks(stream):
        if idle_timeout is not None:
            watchdog.reschedule(loop.time() + idle_timeout)
        yield chunk


async def _write_stdin(stdin: asyncio.StreamWriter, stdin_data: bytes) -> None:
    """Git may end before it has read all, and says why on its other end. uvloop calls that a RuntimeError."""
    with suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
        if stdin_data:
            stdin.write(stdin_data)
            await stdin.drain()
        stdin.close()


async def _read_first(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """The first `limit` bytes; the rest is read too, or Git would wait for us, and dropped."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk[: limit - len(buffer)]
    return bytes(buffer)


async def _read_last(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """The last `limit` bytes: why it failed is what it says at its end, behind all of its progress."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        del buffer[:-limit]
    return bytes(buffer)
