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


class Silent(Exception):
    """The program has printed nothing for too long."""


@dataclass(frozen=True)
class Pipes:
    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader


def pipes_of(process: Process) -> Pipes:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise GitFailed("git was started without pipes")
    return Pipes(process.stdin, process.stdout, process.stderr)


async def exchanged(pipes: Pipes, given: bytes, silence: float | None) -> tuple[bytes, bytes]:
    """What it prints on its two outputs until their end. Raises Silent after `silence` seconds without a byte."""
    try:
        async with asyncio.timeout(silence) as quiet, asyncio.TaskGroup() as group:
            output = group.create_task(_first(_heard(pipes.stdout, quiet, silence), MAX_OUTPUT_BYTES + 1))
            errors = group.create_task(_last(_heard(pipes.stderr, quiet, silence), MAX_ERROR_BYTES))
            group.create_task(_fed(pipes.stdin, given))
    except TimeoutError as error:
        if not quiet.expired():
            raise
        raise Silent from error
    if len(output.result()) > MAX_OUTPUT_BYTES:
        raise GitFailed("git printed more than is accepted")
    return output.result(), errors.result()


async def errors_of(pipes: Pipes) -> bytes:
    """What it says of its failure, when all that it printed was read."""
    return await _last(_pieces(pipes.stderr), MAX_ERROR_BYTES)


async def _pieces(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while piece := await stream.read(CHUNK_BYTES):
        yield piece


async def _heard(stream: asyncio.StreamReader, quiet: asyncio.Timeout, silence: float | None) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    async for piece in _pieces(stream):
        if silence is not None:
            quiet.reschedule(loop.time() + silence)
        yield piece


async def _fed(stdin: asyncio.StreamWriter, given: bytes) -> None:
    """Git may end before it has read all, and says why on its other end. uvloop calls that a RuntimeError."""
    with suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
        if given:
            stdin.write(given)
            await stdin.drain()
        stdin.close()


async def _first(pieces: AsyncIterator[bytes], limit: int) -> bytes:
    """The first `limit` bytes; the rest is read too, or Git would wait for us, and dropped."""
    found = bytearray()
    async for piece in pieces:
        found += piece[: limit - len(found)]
    return bytes(found)


async def _last(pieces: AsyncIterator[bytes], limit: int) -> bytes:
    """The last `limit` bytes: why it failed is what it says at its end, behind all of its progress."""
    found = bytearray()
    async for piece in pieces:
        found += piece
        del found[:-limit]
    return bytes(found)
