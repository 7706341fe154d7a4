"""Image pulls: their progress, and the timeout of a stalled pull."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from services.worker.runtime import RuntimeFailure
from services.worker.runtime.docker.client import open_engine
from services.worker.runtime.docker.engine_api import PullEvent
from services.worker.runtime.docker.images import Images, pull_summary
from tests.servers.engine import Engine


async def test_a_pull_that_stands_still_ends_and_says_so(docker_engine: Engine) -> None:
    """The registry accepts connections and never responds."""
    progress: list[str] = []
    writers: list[asyncio.StreamWriter] = []
    registry = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    name = f"127.0.0.1:{registry.sockets[0].getsockname()[1]}/still:1"
    try:
        async with open_engine(docker_engine.runtime) as docker:
            with pytest.raises(RuntimeFailure, match=r"the pull of .* stalled for 1 s") as ended:
                await Images(docker, stall_timeout=1.0).ensure_image(name, progress.append)
    finally:
        registry.close()
        for writer in writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    assert (ended.value.code, progress) == ("image", [f"pulling {name}"])


def test_how_far_a_pull_is() -> None:
    half: PullEvent = {"status": "Downloading", "progressDetail": {"current": 12_000_000, "total": 80_000_000}}
    layers: dict[str, PullEvent] = {
        "a": {"status": "Already exists"},
        "b": half,
        "c": {"status": "Waiting", "progressDetail": {}},
    }
    assert pull_summary(layers) == "1 of 3 layers, 12 of 80 MB"
    assert pull_summary({"a": {"status": "Pull complete"}}) == "1 of 1 layers"
