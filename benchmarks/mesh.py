"""An embedded mesh for a benchmark, on processes or on a Docker Engine, and nothing of it left afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from services.worker.context import get_installation_id
from tests.e2e.application import Application
from tests.e2e.processes import Processes, running
from tests.servers.engine import Engine
from tests.servers.fleet import Fleet
from tests.servers.provision import Missing


@contextmanager
def application(engine: Engine | None = None) -> Iterator[Application]:
    """An application that is still to be started; with an engine its images run there."""
    with tempfile.TemporaryDirectory() as folder:
        mesh = Mesh(Path(folder), "docker" if engine else "process")
        if engine:
            mesh.environ["DOCKER_HOST"] = engine.url
        try:
            mesh.start()
            with closing(Api(mesh.url, mesh.token)) as api:
                yield Application(mesh, api)
        finally:
            mesh.stop()
            if engine:
                engine.clear(get_installation_id((mesh.data / "internal-token").read_text().strip()))


@contextmanager
def deployment(fleet: Fleet, **settings: str) -> Iterator[Processes]:
    """Five processes on PostgreSQL, RabbitMQ and MinIO; what they run are processes. Raises Missing."""
    with tempfile.TemporaryDirectory() as folder, fleet.settings() as servers:
        usual = {"RUNTIME": "process://", "LOG_LEVEL": "warning"}
        with running(Processes(Path(folder), {**servers, **usual, **settings})) as mesh:
            yield mesh


@contextmanager
def docker() -> Iterator[tuple[Engine, str]]:
    """An engine, and an image with Python on it. Raises Missing."""
    with Fleet() as fleet:
        engine, image = fleet.docker, fleet.python_image
        if not engine.answers():
            raise Missing("no Docker Engine answers")
        yield engine, image
