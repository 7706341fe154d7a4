"""Overhead of a stage: a run of one trivial stage, from submission to its end, beyond the same command run by hand."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiodocker import Docker

from benchmarks import mesh
from benchmarks.figures import Figure, Finding, Unmeasured, median_ms
from deploy.demo.show import Failed
from tests.e2e.application import ALICE, BOXES, ENDED, Application
from tests.servers.engine import Engine
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
    with mesh.application() as app:
        app.start(files("unused"))
        yield from measured("process", app, by_hand)
    try:
        with mesh.docker() as (engine, image), mesh.application(engine) as app:
            app.start(files(image))
            yield from measured("docker", app, lambda: in_container(engine, image))
    except Missing as missing:
        yield Unmeasured("stage, beyond docker by hand", str(missing))


def files(image: str) -> dict[str, str]:
    return {"manifests/boxes.yml": BOXES, "manifests/nothing.yml": PIPELINE.format(image=image)}


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
    """With an interpreter itself, as the stage's environment has one: what is on the path may be a wrapper."""
    began = time.monotonic()
    subprocess.run([sys.executable, *COMMAND[1:]], check=True)
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
