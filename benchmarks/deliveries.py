"""How soon a forge has its answer: signed webhooks of new commits, eight at once, while their deployments go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from benchmarks import mesh
from benchmarks.figures import Figure
from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from tests.e2e.application import Application

IN_FLIGHT = 8
ROUNDS = 25
LIMIT_MS = 100.0
BOX = (
    "apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {{name: files}}\nspec: {{s3DefaultStorage: {{capacity: {0}M}}}}\n"
)


def figures() -> Iterator[Figure]:
    with mesh.application() as first:
        apps = [attach(first.mesh, f"app-{number}") for number in range(IN_FLIGHT)]
        with ThreadPoolExecutor(IN_FLIGHT) as callers:
            seconds = sorted(second for number in range(ROUNDS) for second in deliver(callers, apps, number))
        for app in apps:
            app.api.close()
    p99, count = seconds[int(len(seconds) * 0.99)] * 1000, len(seconds)
    note = f"median {seconds[count // 2] * 1000:.0f} ms, of {count} pushes to {IN_FLIGHT} apps"
    yield Figure(f"deliveries: p99 with {IN_FLIGHT} in flight", p99, LIMIT_MS, "ms", note)


def attach(mesh: Mesh, name: str) -> Application:
    app = Application(mesh, Api(mesh.url, mesh.token), name)
    app.push({"manifests/files.yml": BOX.format(1)})
    app.attach(users=())
    return app


def deliver(callers: ThreadPoolExecutor, apps: list[Application], number: int) -> list[float]:
    """A new commit of each app, and then their deliveries at once: the seconds of each. Returns when all are live."""
    for app in apps:
        app.push({"manifests/files.yml": BOX.format(number + 2)})
    seconds = list(callers.map(announce, apps))
    for app in apps:
        app.eventually("the commit is live", partial(is_live, app))
    return seconds


def is_live(app: Application) -> bool:
    """Whether the pushed commit is, in whichever deployment: a poll may have seen it before the webhook came."""
    live = app.api.get(app.path)["live"]
    return live is not None and live["commit"] == app.repository.head


def announce(app: Application) -> float:
    began = time.perf_counter()
    app.announce()
    return time.perf_counter() - began
