from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.worker.small_mesh import SmallMesh, small_mesh


@pytest.fixture
async def mesh() -> AsyncIterator[SmallMesh]:
    async with small_mesh() as found:
        yield found
