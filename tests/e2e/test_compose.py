"""The story on docker-compose.yml: everything in containers, the repository on a forge of its own."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from urllib.request import Request, urlopen

from deploy.demo import story
from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from deploy.demo.repository import MODULE, Repository
from deploy.demo.run import STEPS
from deploy.demo.show import Failed
from tests.deploy.mesh import Mesh as Compose
from tests.e2e.application import BOXES, Application, fetched
from tests.e2e.forge import serving
from tests.servers.fleet import Fleet
from tests.servers.images import module_image

IMAGE = "mlmesh-demo/digits:1"


class Composed(Mesh):
    """The mesh that Compose runs, from the outside."""

    def __init__(self, folder: Path, compose: Compose) -> None:
        super().__init__(folder)
        self._compose = compose
        self.url = compose.url
        self.environ |= {"MLMESH_URL": compose.url, "MLMESH_TOKEN": compose.admin_token}

    @property
    def token(self) -> str:
        return self._compose.admin_token

    def check(self) -> None:
        if self._compose.status("/readyz") != 200:
            raise Failed("the mesh is not ready any more")


def test_the_story_on_compose(compose: Compose, fleet: Fleet, tmp_path: Path) -> None:
    module_image(fleet.docker, IMAGE, MODULE)
    repository = Repository(tmp_path / "git")
    host = compose.host()
    with serving(host, repository.origin.parent) as forge:
        repository.url = f"http://{host}:{forge.port}/{repository.origin.name}"
        with closing(Api(compose.url, compose.admin_token)) as api:
            tale = story.Story(Composed(tmp_path, compose), api, repository)
            try:
                for _, tell in STEPS:
                    tell(tale)
            except Failed as failed:
                shown = api.send("GET", f"{story.API}/components/digits").body.decode()
                logs = compose.compose("logs", "--no-color", "--tail", "30", "gateway", "scheduler", "worker")
                raise Failed(f"{failed}\n{shown}\n{logs}") from failed
    assert tale.predict_ms > 0


def test_links_of_files_lead_where_the_caller_can_go(compose: Compose, tmp_path: Path) -> None:
    with closing(Api(compose.url, compose.admin_token)) as api:
        app = Application(Composed(tmp_path, compose), api)
        app.push({"manifests/boxes.yml": BOXES})
        with serving(compose.host(), app.repository.origin.parent) as forge:
            app.attach(f"http://{compose.host()}:{forge.port}/{app.repository.origin.name}")
            assert app.settled()["status"] == "live"
        place = "/files/results/pages/a.txt"
        put = app.call("PUT", place).json()["presigned_put_url"]
        with urlopen(Request(put, b"by link", method="PUT"), timeout=30.0) as answer:  # noqa: S310  the mesh gave it
            assert answer.status == 200
        assert fetched(app.call("GET", place).json()["presigned_get_url"]) == b"by link"
