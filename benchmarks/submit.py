"""Submission of runs: how many a second are accepted, every row committed before the answer, beside peers.

procrastinate keeps a job in PostgreSQL; Celery sends it to RabbitMQ and waits for the confirmation. Both behind
FastAPI, in one process.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.figures import Figure, Finding, Unmeasured
from benchmarks.gateway import free_port, started
from benchmarks.mesh import deployment
from benchmarks.wrk import Result, load
from deploy.demo.api import Api
from tests.e2e.application import ALICE, BOXES, Application
from tests.e2e.processes import Processes
from tests.servers.fleet import Fleet
from tests.servers.provision import Missing, environment

CONNECTIONS = 16
TIMES_SCHEDULER = 2.0
TIMES_GATEWAY = 1.5
TIMES_CELERY = 2.5
MOST_MS = 60.0
PIPELINE = """\
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: three}
spec:
  vars: [{name: given}, {name: one}, {name: two}]
  stages:
    - {name: a, image: {existingImageName: i}, entryPoint: a, inputs: [{name: given}], outputs: [{name: one}]}
    - {name: b, image: {existingImageName: i}, entryPoint: b, inputs: [{name: one}], outputs: [{name: two}]}
    - {name: c, image: {existingImageName: i}, entryPoint: c, inputs: [{name: two}]}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: three}
spec:
  experimentPipeline: {name: three}
  restfulApi: {path: three, auth: {basic: {credentials: users}}}
  apiSpec: {inputs: [{name: given, type: {datatypes: [str]}}]}
"""
PROCRASTINATE = """\
import os
from contextlib import asynccontextmanager
import procrastinate
from fastapi import FastAPI

jobs = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE"], min_size=16, max_size=16))

@jobs.task(name="work")
def work(given): ...

@asynccontextmanager
async def lifespan(app):
    async with jobs.open_async():
        await jobs.schema_manager.apply_schema_async()
        yield

app = FastAPI(lifespan=lifespan)

@app.get("/health")
async def health(): return {}

@app.post("/runs", status_code=202)
async def runs(body: dict):
    return {"id": await work.defer_async(given=body["inputs"]["given"])}
"""  # noqa: E501  a program
CELERY = """\
import os
from celery import Celery
from fastapi import FastAPI

jobs = Celery("peer", broker=os.environ["BROKER"])
jobs.conf.update(broker_transport_options={"confirm_publish": True}, task_ignore_result=True, broker_pool_limit=16)

@jobs.task(name="work")
def work(given): ...

app = FastAPI()

@app.get("/health")
async def health(): return {}

@app.post("/runs", status_code=202)
def runs(body: dict):
    return {"id": work.delay(body["inputs"]["given"]).id}
"""
FASTAPI = ("fastapi", "uvicorn[standard]")
BODY = json.dumps({"inputs": {"given": "hello"}})


def figures() -> Iterator[Finding]:
    try:
        with Fleet() as fleet:
            peer, celery = procrastinate(fleet), with_celery(fleet)
            with mesh(fleet) as (processes, app):
                scheduler = at_scheduler(processes, app)
                gateway = at_gateway(processes, app)
    except Missing as missing:
        yield Unmeasured("submit", str(missing))
        return
    yield beside("submit: procrastinate over scheduler", TIMES_SCHEDULER, peer, scheduler)
    yield beside("submit: procrastinate over gateway", TIMES_GATEWAY, peer, gateway)
    yield beside("submit: Celery over scheduler", TIMES_CELERY, celery, scheduler)
    note = f"median {scheduler.p50:.1f} ms, {CONNECTIONS} connections"
    yield Figure("submit: p99 at the scheduler", scheduler.p99, MOST_MS, "ms", note)


def beside(name: str, times: float, peer: Result, ours: Result) -> Figure:
    note = f"{ours.rate:.0f} runs of three stages a second, {peer.rate:.0f} jobs; {ours.rate / peer.rate:.2f} times"
    return Figure(name, peer.rate / ours.rate, 1 / times, "", note)


def procrastinate(fleet: Fleet) -> Result:
    python = environment("procrastinate", "procrastinate[psycopg]", "psycopg-binary", *FASTAPI)
    with fleet.postgres.new_database() as database:
        return peer_rate(python, PROCRASTINATE, DATABASE=database.replace("+asyncpg", ""))


def with_celery(fleet: Fleet) -> Result:
    python = environment("celery", "celery", *FASTAPI)
    with fleet.rabbitmq.virtual_host() as broker:
        return peer_rate(python, CELERY, BROKER=broker)


def peer_rate(python: Path, program: str, **environ: str) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "peer.py").write_text(program)
        port = free_port()
        command = [str(python), "-m", "uvicorn", "peer:app", "--port", str(port), "--log-level", "error"]
        command += ["--no-access-log"]
        with started(command, f"http://127.0.0.1:{port}/health", {**os.environ, **environ}, folder):
            headers = {"Content-Type": "application/json"}
            return load(f"http://127.0.0.1:{port}/runs", BODY, headers, connections=CONNECTIONS)


@contextmanager
def mesh(fleet: Fleet) -> Iterator[tuple[Processes, Application]]:
    """The worker stands still, so that nothing is run."""
    with (
        deployment(fleet, WAITING_RUNS="10000000") as processes,
        closing(Api(processes.url, processes.token)) as api,
    ):
        app = Application(processes, api)
        app.start({"manifests/boxes.yml": BOXES, "manifests/three.yml": PIPELINE})
        processes.signal("worker", signal.SIGSTOP)
        try:
            yield processes, app
        finally:
            processes.signal("worker", signal.SIGCONT)


def at_scheduler(processes: Processes, app: Application) -> Result:
    headers = {"Authorization": f"Bearer {processes.services['MLMESH_INTERNAL_TOKEN']}", "X-Mlmesh-User": "alice",
               "X-Mlmesh-Pipelines": "three", "Content-Type": "application/json"}  # fmt: skip
    url = f"{processes.address('scheduler')}/internal/apps/{app.name}/apis/three/runs"
    return load(url, BODY, headers, connections=CONNECTIONS)


def at_gateway(processes: Processes, app: Application) -> Result:
    headers = {"Authorization": "Basic " + b64encode(ALICE.encode()).decode(), "Content-Type": "application/json"}
    return load(f"{processes.url}/{app.name}/three/runs", BODY, headers, connections=CONNECTIONS)
