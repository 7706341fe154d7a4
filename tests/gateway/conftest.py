import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.mesh import Mesh, ready, services, until


@pytest.fixture
async def mesh(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Mesh]:
    """A gateway that is ready, with the app `demo`. Whatever a test does to it, no task of it is left behind."""
    async with services(tmp_path) as made:
        if mark := request.node.get_closest_marker("settings"):
            made.settings = made.settings.with_values(**mark.kwargs)
        async with made.gateway():
            await ready(made)
            before = len(asyncio.all_tasks())
            yield made
            await until(lambda: len(asyncio.all_tasks()) <= before)
