"""A host with a Docker Engine on which tests run workers."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from libs.common.bus.memory import MemoryBus
from libs.common.settings import Settings
from services.worker.app import create
from services.worker.context import get_installation_id
from tests.servers.engine import Engine
from tests.worker.fake_mesh import FakeMesh


class DockerHost:
    """A host for workers: the engine, an image, a folder."""

    def __init__(self, mesh: FakeMesh, folder: Path, engine: Engine, image: str) -> None:
        self.mesh, self.folder, self.engine, self.image = mesh, folder, engine, image
        self.token = uuid.uuid4().hex  # an installation of its own on this engine
        self.installation = get_installation_id(self.token)

    def make_settings(self) -> Settings:
        runtime = self.engine.runtime
        return self.mesh.make_settings(self.folder).with_values(runtime=runtime, internal_token=self.token)

    @asynccontextmanager
    async def run_worker(self, **over: Any) -> AsyncIterator[None]:
        app = create(self.make_settings().with_values(**over), MemoryBus())
        async with app.router.lifespan_context(app):
            yield

    def add_stage(self, script: str, task: str = "t1", **over: Any) -> None:
        """Another `task` for each while one worker runs: it holds the last until its container is removed."""
        command = ["python3", "-u", "-c", script]
        self.mesh.add_stage(task, "", **{"image": self.image, "entry_point": command, **over})

    def inspect_containers(self) -> list[dict[str, Any]]:
        names = self.engine.containers(self.installation)
        containers: list[dict[str, Any]] = json.loads(self.engine.run("inspect", *names)) if names else []
        return containers
