from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.servers.engine import Engine
    from tests.worker.docker_host import DockerHost
    from tests.worker.fake_mesh import FakeMesh

CLAIM_INTERVAL_S = 0.5


@pytest.fixture
async def mesh() -> AsyncIterator[FakeMesh]:
    from tests.worker.fake_mesh import serve_fake_mesh

    async with serve_fake_mesh() as fake_mesh:
        yield fake_mesh


@pytest.fixture
def quick_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers ask for tasks often: no message tells them of one that comes while they run."""
    monkeypatch.setattr("services.worker.claimer.CLAIM_INTERVAL_S", CLAIM_INTERVAL_S)


@pytest.fixture
async def host(
    mesh: FakeMesh, tmp_path: Path, docker_engine: Engine, python_image: str, quick_claims: None
) -> AsyncIterator[DockerHost]:
    from tests.worker.docker_host import DockerHost

    host = DockerHost(mesh, tmp_path, docker_engine, python_image)
    yield host
    docker_engine.clear(host.installation)
