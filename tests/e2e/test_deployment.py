"""The story on the real parts: five processes, PostgreSQL, RabbitMQ, MinIO."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploy.demo import story
from deploy.demo.api import Api
from deploy.demo.repository import Repository
from deploy.demo.run import STEPS
from tests.e2e.processes import Processes


@pytest.fixture
def deployment(tmp_path: Path, postgres_url: str, rabbitmq_url: str, minio_url: str) -> Iterator[Processes]:
    settings = {"DATABASE": postgres_url, "BUS": rabbitmq_url, "STORE": minio_url, "RUNTIME": "process://"}
    mesh = Processes(tmp_path, settings)
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()


def test_the_story_on_five_processes_and_real_servers(deployment: Processes) -> None:
    with closing(Api(deployment.url, deployment.token)) as api:
        tale = story.Story(deployment, api, Repository(deployment.folder / "git"))
        for _, tell in STEPS:
            tell(tale)
    assert tale.predict_ms > 0
