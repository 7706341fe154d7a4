"""The story on the real parts: five processes, PostgreSQL, RabbitMQ, MinIO, with processes and with containers."""

from __future__ import annotations

from contextlib import closing

from deploy.demo import story
from deploy.demo.api import Api
from deploy.demo.repository import MODULE, Repository
from deploy.demo.run import STEPS
from tests.e2e.processes import Processes
from tests.servers.fleet import Fleet
from tests.servers.images import module_image

IMAGE = "mlmesh-demo/digits:1"


def test_the_story_on_five_processes_and_real_servers(deployment: Processes, fleet: Fleet) -> None:
    if deployment.contained:
        module_image(fleet.docker, IMAGE, MODULE)
    with closing(Api(deployment.url, deployment.token)) as api:
        tale = story.Story(deployment, api, Repository(deployment.folder / "git"))
        for _, tell in STEPS:
            tell(tale)
    assert tale.predict_ms > 0
