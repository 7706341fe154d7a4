"""The client's side of a fetch or a push: its body, which Git reads, and its leaving."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from libs.common.process_group import kill_process_group
from services.registry.git.process import GitProcess
from services.registry.git.process_io import PIPE_CLOSED
from services.registry.hosting.packet_lines import SIDE_BAND, encode_failure

MAX_START_BYTES = 64 * 1024
"""Where the capabilities of a client are looked for."""


@dataclass(frozen=True)
class ClientStream:
    body: AsyncIterator[bytes]
    protocol: str
    """Its `Git-Protocol` header."""
    wait_for_disconnect: Callable[[], Awaitable[None]]
    """Returns when it has left; to be called when the body was read."""


async def refuse_push(client: ClientStream, why: str) -> AsyncIterator[bytes]:
    """The answer to a push that is not received: Git shows the text of an answer, but of no HTTP error here."""
    start = b""
    async for chunk in client.body:
        start += chunk[: MAX_START_BYTES - len(start)]
    if SIDE_BAND in start:
        yield encode_failure(why)


async def feed(process: GitProcess, body: AsyncIterator[bytes]) -> None:
    """Pass the body on to Git, which may end before it has read everything: its answer says why.

    A body that breaks off ends Git, and raises.
    """
    try:
        async for chunk in body:
            with suppress(*PIPE_CLOSED):
                process.stdin.write(chunk)
                await process.stdin.drain()
    except BaseException:
        kill_process_group(process)
        raise
    with suppress(*PIPE_CLOSED):
        process.stdin.close()
