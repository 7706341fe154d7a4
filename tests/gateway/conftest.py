from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.mesh import Mesh, ready, services


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """A gateway that is ready, with the app `demo`."""
    async with services(tmp_path) as made, made.gateway():
        await ready(made)
        yield made
