"""Log stream of a container: the engine sends it in frames, from the beginning."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator

import aiohttp
from aiodocker import Docker, DockerError

from libs.common.errors import Unavailable
from services.worker.runtime import RuntimeFailure
from services.worker.runtime.docker.client import translate_error

FRAME = struct.Struct(">BxxxL")
"""Header of a frame: stream, number of bytes."""


async def follow_log(docker: Docker, name: str) -> AsyncIterator[bytes]:
    """Follow the whole log as bytes; the library's own method decodes them."""
    params = {"stdout": 1, "stderr": 1, "follow": 1}
    no_timeout = aiohttp.ClientTimeout(total=None)
    try:
        async with docker._query(f"containers/{name}/logs", params=params, timeout=no_timeout) as response:
            async for piece in decode_frames(response.content):
                yield piece
    except DockerError as error:
        if isinstance(translated := translate_error(error), Unavailable):
            raise translated from error
        raise RuntimeFailure("error", f"the engine has no log of {name}: {error.message}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"the log stream of {name} was interrupted") from error


async def decode_frames(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Decode the frames of a log stream. Raises Unavailable if it ends within a frame."""
    while True:
        try:
            header = await stream.readexactly(FRAME.size)
            yield await stream.readexactly(FRAME.unpack(header)[1])
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Unavailable("the log stream was interrupted") from error
            return
