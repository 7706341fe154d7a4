"""A container's log as its engine sends it: in frames, from its beginning."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator

import aiohttp
from aiodocker import Docker, DockerError

from libs.common.errors import Unavailable
from services.worker.runtime import CannotRun
from services.worker.runtime.docker.client import fault

FRAME = struct.Struct(">BxxxL")
"""Before each piece of a log: which stream, how many bytes."""


async def followed(docker: Docker, name: str) -> AsyncIterator[bytes]:
    """All of it, following, as bytes: the library's own way decodes them."""
    params = {"stdout": 1, "stderr": 1, "follow": 1}
    endless = aiohttp.ClientTimeout(total=None)
    try:
        async with docker._query(f"containers/{name}/logs", params=params, timeout=endless) as answer:
            async for piece in unframed(answer.content):
                yield piece
    except DockerError as error:
        if isinstance(found := fault(error), Unavailable):
            raise found from error
        raise CannotRun("error", f"the engine has no log of {name}: {error.message}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"the log of {name} broke off") from error


async def unframed(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The pieces of a log that the engine sends in frames. Raises Unavailable when it breaks off within one."""
    while True:
        try:
            head = await stream.readexactly(FRAME.size)
            yield await stream.readexactly(FRAME.unpack(head)[1])
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Unavailable("the log broke off") from error
            return
