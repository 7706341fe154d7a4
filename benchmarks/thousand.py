"""A run of a thousand stages that do nothing, two at a time: what each costs the scheduler and the broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from benchmarks.figures import Figure, Finding, Unmeasured
from benchmarks.idle import cpu_seconds
from benchmarks.mesh import deployment
from deploy.demo.api import Api
from deploy.demo.show import Failed
from tests.e2e.application import ALICE, BOXES, ENDED, Application
from tests.e2e.processes import Processes
from tests.servers.fleet import Fleet
from tests.servers.provision import Missing

STAGES = 1000
MOST_MS = 8.0
LIMIT_S = 300.0
PIPELINE = """\
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: many}
spec:
  vars: [{name: given}]
  stages:
"""
STAGE = '    - {{name: s{0}, image: {{existingImageName: i}}, entryPoint: "true", inputs: [{{name: given}}]}}\n'
API = """\
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: many}
spec:
  experimentPipeline: {name: many}
  restfulApi: {path: many, auth: {basic: {credentials: users}}}
  apiSpec: {inputs: [{name: given, required: false, type: {datatypes: [str]}}]}
"""


def figures() -> Iterator[Finding]:
    try:
        with Fleet() as fleet, deployment(fleet) as mesh, closing(Api(mesh.url, mesh.token)) as api:
            yield from cost(mesh, Application(mesh, api))
    except Missing as missing:
        yield Unmeasured("thousand", str(missing))


def cost(mesh: Processes, app: Application) -> Iterator[Figure]:
    manifest = PIPELINE + "".join(STAGE.format(number) for number in range(STAGES)) + API
    app.start({"manifests/boxes.yml": BOXES, "manifests/many.yml": manifest})
    before = cpu_seconds(mesh.process_of("scheduler"))
    run: dict[str, Any] = app.call("POST", "/many/runs", {}).json()
    end = time.monotonic() + LIMIT_S
    while run["status"] not in ENDED and time.monotonic() < end:
        run = app.api.send("GET", run["links"]["self"], user=ALICE, headers={"Prefer": "wait=60"}).json()
    if run["status"] != "succeeded":
        raise Failed(f"a run of {STAGES} stages ended {run['status']}: {run['reason']}")
    spent = (cpu_seconds(mesh.process_of("scheduler")) - before) / STAGES * 1000
    yield Figure("thousand: scheduler, a stage", spent, MOST_MS, "ms", "of its processor, in a run of a thousand")
