from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.servers.engine import Engine
from tests.worker.docker_host import Host
from tests.worker.fake_mesh import SmallMesh, small_mesh


@pytest.fixture
async def mesh() -> AsyncIterator[SmallMesh]:
    async with small_mesh() as found:
        yield found


@pytest.fixture
async def host(mesh: SmallMesh, tmp_path: Path, docker_engine: Engine, python_image: str) -> AsyncIterator[Host]:
    host = Host(mesh, tmp_path, docker_engine, python_image)
    yield host
    docker_engine.clear(host.installation)
