"""Overhead of a stage: a run of one trivial stage, from submission to its end, beyond the same command run by hand."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from aiodocker import Docker

from benchmarks.figures import Figure, median_ms
from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from services.worker.host import installation
from tests.e2e.application import ALICE, BOXES, Application
from tests.servers.engine import Engine
from tests.servers.fleet import Fleet

LIMIT_MS = 150.0
RUNS = 20
COMMAND = ("python3", "-c", "pass")
PIPELINE = """\
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {{name: nothing}}
spec:
  vars: [{{name: given}}]
  stages:
    - name: only
      image: {{existingImageName: "{image}"}}
      entryPoint: [python3, -c, pass]
      inputs: [{{name: given}}]
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {{name: nothing}}
spec:
  experimentPipeline: {{name: nothing}}
  restfulApi: {{path: nothing, auth: {{basic: {{credentials: users}}}}}}
  apiSpec: {{inputs: [{{name: given, required: false, type: {{datatypes: [dict]}}}}]}}
"""


def figures() -> Iterator[Figure]:
    with Fleet() as fleet:
        with deployed("process", "unused") as app:
            yield figure("process", app, by_hand)
        with deployed("docker", fleet.python_image, fleet.docker) as app:
            yield figure("docker", app, lambda: in_container(fleet.docker, fleet.python_image))


@contextmanager
def deployed(runtime: str, image: str, engine: Engine | None = None) -> Iterator[Application]:
    with tempfile.TemporaryDirectory() as folder:
        mesh = Mesh(Path(folder), runtime)
        if engine:
            mesh.environ["DOCKER_HOST"] = engine.url
        try:
            mesh.start()
            with closing(Api(mesh.url, mesh.token)) as api:
                app = Application(mesh, api)
                app.start({"manifests/boxes.yml": BOXES, "manifests/nothing.yml": PIPELINE.format(image=image)})
                yield app
        finally:
            mesh.stop()
            if engine:
                engine.clear(installation((mesh.data / "internal-token").read_text().strip()))


def figure(runtime: str, app: Application, raw: Callable[[], float]) -> Figure:
    submitted(app)  # the environment, the network: once an app
    raw()
    pairs = [(submitted(app), raw()) for _ in range(RUNS)]
    whole, bare = median_ms(one for one, _ in pairs), median_ms(one for _, one in pairs)
    note = f"{whole:.0f} ms in all, by hand {bare:.0f} ms; medians of {RUNS}, in turn"
    return Figure(f"stage, beyond {runtime} by hand", whole - bare, LIMIT_MS, "ms", note)


def submitted(app: Application) -> float:
    """Seconds from the acceptance of a run to its end, by the mesh's own clock."""
    accepted = app.call("POST", "/nothing/runs", {}, headers={"Prefer": "wait=30"})
    if accepted.status not in (200, 202):
        raise SystemExit(f"a run was refused: {accepted.body.decode()}")
    run: dict[str, Any] = accepted.json()
    while run["status"] not in ("succeeded", "failed"):
        run = app.api.send("GET", run["links"]["self"], user=ALICE).json()
        time.sleep(0.01)
    if run["status"] == "failed":
        raise SystemExit(f"a run failed: {run['reason']}")
    return (datetime.fromisoformat(run["finished_at"]) - datetime.fromisoformat(run["created_at"])).total_seconds()


def by_hand() -> float:
    began = time.monotonic()
    subprocess.run(COMMAND, check=True)
    return time.monotonic() - began


def in_container(engine: Engine, image: str) -> float:
    return asyncio.run(_in_container(engine, image))


async def _in_container(engine: Engine, image: str) -> float:
    async with Docker(engine.url) as docker:
        began = time.monotonic()
        container = await docker.containers.create({"Image": image, "Cmd": list(COMMAND)})
        await container.start()
        await container.wait()
        await container.delete()
        return time.monotonic() - began
