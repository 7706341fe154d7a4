"""Runs as their callers see them: there and back, many short stages, lines of logs, a worker that is killed.

On PostgreSQL, RabbitMQ and MinIO, one process a service. Containers are compared with the same ones by hand, in the
same run and with as many at once.
"""

from __future__ import annotations

import asyncio
import http.client
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

from aiodocker import Docker

from benchmarks.figures import Figure, Finding, Unmeasured, median_ms
from benchmarks.mesh import deployment
from deploy.demo.api import Api
from deploy.demo.show import Failed
from tests.e2e.application import ALICE, BOXES, ENDED, Application
from tests.e2e.processes import Processes
from tests.servers.engine import Engine
from tests.servers.fleet import Fleet
from tests.servers.provision import Missing

ROUND_TRIPS = 50
ROUND_TRIP_MS = 25.0
IN_A_ROW_MS = 60.0
MANY = 200
AT_ONCE = 8
SHARE = 1 / 0.9
LINES = 20
LINE_PAUSE_S = 0.45
LINE_MS = 500.0
LEASE_S = 15.0
RECOVERY_S = 20.0
LIMIT_S = 300.0
PIPELINE = """\
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {{name: {name}}}
spec:
  vars: [{{name: given}}]
  stages:
{stages}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {{name: {name}}}
spec:
  experimentPipeline: {{name: {name}}}
  restfulApi: {{path: {name}, auth: {{basic: {{credentials: users}}}}}}
  apiSpec: {{inputs: [{{name: given, required: false, type: {{datatypes: [str]}}}}]}}
"""
STAGE = "    - {{name: s{0}, image: {{existingImageName: '{1}'}}, entryPoint: {2}, inputs: [{{name: given}}]}}"
ROW = """\
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {{name: row}}
spec:
  vars: [{{name: one}}, {{name: two}}, {{name: three}}]
  stages:
    - {{name: a, image: &image {{existingImageName: '{0}'}}, entryPoint: [sh, -c, 'echo 1 > $UNIP_PIPELINE_ONE/f'],
       outputs: [{{name: one}}]}}
    - {{name: b, image: *image, entryPoint: [sh, -c, 'cp $UNIP_PIPELINE_ONE/f $UNIP_PIPELINE_TWO/f'],
       inputs: [{{name: one}}], outputs: [{{name: two}}]}}
    - {{name: c, image: *image, entryPoint: [sh, -c, 'cp $UNIP_PIPELINE_TWO/f $UNIP_PIPELINE_THREE/f'],
       inputs: [{{name: two}}], outputs: [{{name: three}}]}}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {{name: row}}
spec:
  experimentPipeline: {{name: row}}
  restfulApi: {{path: row, auth: {{basic: {{credentials: users}}}}}}
  apiSpec: {{}}
"""
"""Three stages, each with a file of the one before."""
SAYS = f"""\
import time
for _ in range({LINES}):
    print(time.time(), flush=True)
    time.sleep({LINE_PAUSE_S})
"""


def figures() -> Iterator[Finding]:
    with Fleet() as fleet:
        for step in (on_processes, in_containers, killed):
            try:
                yield from step(fleet)
            except Missing as missing:
                yield Unmeasured(f"runs {step.__name__.replace('_', ' ')}", str(missing))


def pipeline(name: str, count: int, command: str, image: str) -> str:
    stages = "\n".join(STAGE.format(number, image, command) for number in range(count))
    return PIPELINE.format(name=name, stages=stages)


@contextmanager
def application(fleet: Fleet, files: dict[str, str], **settings: str) -> Iterator[tuple[Processes, Application]]:
    with deployment(fleet, **settings) as mesh, closing(Api(mesh.url, mesh.token)) as api:
        app = Application(mesh, api)
        app.start({"manifests/boxes.yml": BOXES, **files})
        yield mesh, app


def on_processes(fleet: Fleet) -> Iterator[Figure]:
    files = {
        "manifests/empty.yml": pipeline("empty", 1, "'true'", "unused"),
        "manifests/says.yml": pipeline("says", 2, "python3 -u says.py", "unused"),
        "says.py": SAYS,
    }
    with application(fleet, files) as (_, app):
        round_trip(app)
        times = sorted(round_trip(app) for _ in range(ROUND_TRIPS))
        note = (
            f"`true` on processes, submitted and waited for by one request; 95th percentile {times[-3] * 1000:.0f} ms"
        )
        yield Figure("round trip of an empty stage", median_ms(times), ROUND_TRIP_MS, "ms", note)
        late = sorted(line_delays(app))
        note = f"from print to the reader of two stages at once; median {late[len(late) // 2] * 1000:.0f} ms"
        yield Figure("log line, the latest", late[-1] * 1000, LINE_MS, "ms", note)


def in_containers(fleet: Fleet) -> Iterator[Figure]:
    engine, image = fleet.docker, fleet.python_image
    files = {
        "manifests/empty.yml": pipeline("empty", 1, "'true'", image),
        "manifests/many.yml": pipeline("many", MANY, "'true'", image),
        "manifests/row.yml": ROW.format(image),
    }
    runtime = {"RUNTIME": engine.runtime, "WORKER_SLOTS": str(AT_ONCE)}
    with application(fleet, files, **runtime) as (mesh, app):
        round_trip(app)
        pairs = [(round_trip(app), asyncio.run(containers(engine, image, 1, 1))) for _ in range(ROUND_TRIPS // 2)]
        whole, bare = (median_ms(times) for times in zip(*pairs, strict=True))
        note = f"{whole:.0f} ms in all, {bare:.0f} ms by hand; medians of {len(pairs)}, in turn"
        yield Figure("round trip, beyond a container", whole - bare, ROUND_TRIP_MS, "ms", note)
        row = median_ms([round_trip(app, "row") for _ in range(ROUND_TRIPS // 5)])
        note = f"{row:.0f} ms in all, with a file from each to the next"
        yield Figure("three in a row, beyond containers", row - 3 * bare, IN_A_ROW_MS, "ms", note)
        bare = asyncio.run(containers(engine, image, MANY, AT_ONCE))
        whole = timed(lambda: ended(app, app.call("POST", "/many/runs", {}).json()))
        note = f"{MANY} stages of a run, {AT_ONCE} at once: {whole:.1f} s; by hand {bare:.1f} s"
        yield Figure("many containers, over by hand", whole / bare, SHARE, "", note)
    engine.clear(mesh.installation)


def killed(fleet: Fleet) -> Iterator[Figure]:
    """With two workers; the killed one's stage begins on the other when its lease is over."""
    files = {"manifests/long.yml": pipeline("long", 1, "sleep 120", "unused")}
    with application(fleet, files, LEASE=f"{LEASE_S:g}s", WORKER_SLOTS="1") as (mesh, app):
        mesh.begin("second", "worker")
        mesh.ready("second")
        place = app.call("POST", "/long/runs", {}).json()["links"]["self"]

        def attempt(number: int) -> bool:
            stage = app.api.send("GET", place, user=ALICE).json()["stages"][0]
            return bool(stage["attempt"] == number and stage["phase"] == "running")

        app.eventually("the stage runs", lambda: attempt(1))
        time.sleep(LEASE_S)  # the scheduler trusts its ears only after it has heard for a lease
        holder = next(one["name"] for one in app.api.get("/api/v1/workers")["items"] if one["tasks"])
        mesh.kill("second" if holder.endswith("second") else "worker")
        again = timed(lambda: app.eventually("it runs again", lambda: attempt(2)))
        yield Figure("killed worker's stage runs again", again, RECOVERY_S, "s", f"under a lease of {LEASE_S:g} s")


def round_trip(app: Application, pipeline: str = "empty") -> float:
    return timed(lambda: ended(app, app.call("POST", f"/{pipeline}/runs", {}, headers={"Prefer": "wait=60"}).json()))


def ended(app: Application, run: dict[str, Any]) -> None:
    end = time.monotonic() + LIMIT_S
    while run["status"] not in ENDED and time.monotonic() < end:
        run = app.api.send("GET", run["links"]["self"], user=ALICE, headers={"Prefer": "wait=60"}).json()
    if run["status"] != "succeeded":
        raise Failed(f"a run ended {run['status']}: {run['reason']}")


def timed(step: Callable[[], object]) -> float:
    began = time.monotonic()
    step()
    return time.monotonic() - began


def line_delays(app: Application) -> list[float]:
    """Of each line of both stages, how long after it was printed it was read."""
    place = app.call("POST", "/says/runs", {}).json()["links"]["self"]
    found = []
    with closing(http.client.HTTPConnection(urlsplit(app.mesh.url).netloc, timeout=60)) as connection:
        headers = {"Authorization": f"Basic {b64encode(ALICE.encode()).decode()}"}
        connection.request("GET", f"{place}/logs?follow=1", headers=headers)
        answer = connection.getresponse()
        while line := answer.readline():
            if line.startswith(b"data: ") and not line.startswith(b"data: {"):
                found.append(time.time() - float(line.removeprefix(b"data: ")))
    if len(found) != 2 * LINES:
        raise Failed(f"{len(found)} lines of {2 * LINES} were read")
    return found


async def containers(engine: Engine, image: str, count: int, at_once: int) -> float:
    """Seconds for so many, by hand."""
    room = asyncio.Semaphore(at_once)
    async with Docker(engine.url) as docker:

        async def one() -> None:
            async with room:
                container = await docker.containers.create({"Image": image, "Cmd": ["true"]})
                await container.start()
                await container.wait()
                await container.delete()

        began = time.monotonic()
        await asyncio.gather(*(one() for _ in range(count)))
        return time.monotonic() - began
