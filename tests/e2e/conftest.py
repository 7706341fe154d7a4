"""Meshes for the tests of a module: embedded, or five processes on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from tests.e2e.processes import Processes, running
from tests.servers.fleet import Fleet


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    mesh = Mesh(tmp_path_factory.mktemp("mesh"))
    mesh.environ["MLMESH_WARM_TIME"] = "0s"  # tests count the processes of the last version
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """One of the test's own, which it may kill."""
    mesh = Mesh(tmp_path)
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()


@pytest.fixture(scope="module")
def api(embedded: Mesh) -> Iterator[Api]:
    with closing(Api(embedded.url, embedded.token)) as api:
        yield api


@pytest.fixture(scope="module", params=["processes", "containers"])
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fleet: Fleet
) -> Iterator[Processes]:
    """On PostgreSQL, RabbitMQ and MinIO; what it runs are processes, then containers.

    Then the gateway listens where containers reach it. Components outlive their worker: they are removed here.
    """
    folder, contained = tmp_path_factory.mktemp("mesh"), request.param == "containers"
    runtime = fleet.docker.runtime if contained else "process://"
    with fleet.settings() as servers:
        host = "0.0.0.0" if contained else "127.0.0.1"  # noqa: S104
        mesh = Processes(folder, {**servers, "RUNTIME": runtime, "WARM_TIME": "0s"}, host)
        try:
            with running(mesh):
                yield mesh
        finally:
            if contained:
                fleet.docker.clear(mesh.installation)
