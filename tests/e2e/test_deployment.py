"""The story on the real parts: five processes, PostgreSQL, RabbitMQ, MinIO, with processes and with containers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploy.demo import story
from deploy.demo.api import Api
from deploy.demo.repository import MODULE, Repository
from deploy.demo.run import STEPS
from tests.e2e.processes import Processes
from tests.servers.fleet import Fleet
from tests.servers.images import module_image

IMAGE = "mlmesh-demo/digits:1"


@pytest.fixture
def servers(postgres_url: str, rabbitmq_url: str, minio_url: str) -> dict[str, str]:
    return {"DATABASE": postgres_url, "BUS": rabbitmq_url, "STORE": minio_url}


@pytest.fixture
def on_processes(tmp_path: Path, servers: dict[str, str]) -> Iterator[Processes]:
    mesh = Processes(tmp_path, {**servers, "RUNTIME": "process://"})
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()


@pytest.fixture
def on_containers(tmp_path: Path, servers: dict[str, str], fleet: Fleet) -> Iterator[Processes]:
    """The gateway listens where containers reach it. Components outlive their worker: they are removed here."""
    module_image(fleet.docker, IMAGE, MODULE)
    runtime = f"docker://{fleet.docker.url.removeprefix('unix://')}"
    mesh = Processes(tmp_path, {**servers, "RUNTIME": runtime}, host="0.0.0.0")  # noqa: S104
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()
        fleet.docker.clear(mesh.installation)


@pytest.mark.parametrize("runtime", ["processes", "containers"])
def test_the_story_on_five_processes_and_real_servers(request: pytest.FixtureRequest, runtime: str) -> None:
    deployment: Processes = request.getfixturevalue(f"on_{runtime}")
    with closing(Api(deployment.url, deployment.token)) as api:
        tale = story.Story(deployment, api, Repository(deployment.folder / "git"))
        for _, tell in STEPS:
            tell(tale)
    assert tale.predict_ms > 0
