"""Overhead of a stage: a run of one trivial stage, from submission to its end, beyond the same command run by hand."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from aiodocker import Docker

from benchmarks.figures import Figure, Finding, Unmeasured, median_ms
from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from deploy.demo.show import Failed
from services.worker.host import installation
from tests.e2e.application import ALICE, BOXES, ENDED, Application
from tests.servers.engine import Engine
from tests.servers.fleet import Fleet
from tests.servers.provision import Missing

LIMIT_MS = 150.0
RUNS = 20
POLL_S = 0.01
RUN_TIMEOUT_S = 60.0
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


def figures() -> Iterator[Finding]:
    with deployed("process", "unused") as app:
        yield from measured("process", app, by_hand)
    with Fleet() as fleet:
        try:
            engine, image = fleet.docker, fleet.python_image
            if not engine.answers():
                raise Missing("no Docker Engine answers")
        except Missing as missing:
            yield Unmeasured("stage, beyond docker by hand", str(missing))
            return
        with deployed("docker", image, engine) as app:
            yield from measured("docker", app, lambda: in_container(engine, image))


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


def measured(runtime: str, app: Application, raw: Callable[[], float]) -> Iterator[Figure]:
    submitted(app)  # the environment, the network: once an app
    raw()
    runs, bare = zip(*((submitted(app), raw()) for _ in range(RUNS)), strict=True)
    by_hand_ms = median_ms(bare)
    for seen_by, whole in (
        ("its own times", median_ms(run.own_s for run in runs)),
        ("a client", median_ms(run.client_s for run in runs)),
    ):
        note = f"by {seen_by}: {whole:.0f} ms in all, by hand {by_hand_ms:.0f} ms; medians of {RUNS}, in turn"
        yield Figure(f"stage, beyond {runtime} by hand", whole - by_hand_ms, LIMIT_MS, "ms", note)


@dataclass(frozen=True)
class Run:
    """`own_s` from its acceptance to its end by its own times; `client_s` from the request that submits it to the
    first answer that shows its end, for a client that polls."""

    own_s: float
    client_s: float


def submitted(app: Application) -> Run:
    began = time.monotonic()
    accepted = app.call("POST", "/nothing/runs", {})
    if accepted.status != 202:
        raise Failed(f"a run was refused: {accepted.body.decode()}")
    run: dict[str, Any] = accepted.json()
    while run["status"] not in ENDED:
        if time.monotonic() - began > RUN_TIMEOUT_S:
            raise Failed(f"a run was still {run['status']} after {RUN_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)
        run = app.api.send("GET", run["links"]["self"], user=ALICE).json()
    seen = time.monotonic() - began
    if run["status"] != "succeeded":
        raise Failed(f"a run ended {run['status']}: {run['reason']}")
    own = datetime.fromisoformat(run["finished_at"]) - datetime.fromisoformat(run["created_at"])
    return Run(own.total_seconds(), seen)


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
