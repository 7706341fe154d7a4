"""Everything fails at random while runs are submitted; afterwards the API and the store are asked what became of them.

`MLMESH_TEST_STORM_SECONDS` and `MLMESH_TEST_STORM_SEED` make it longer, or the same again.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploy.demo.api import Api
from tests.chaos.conftest import running
from tests.chaos.shapes import FILES, IMAGE, SHAPES
from tests.chaos.storm import SECOND, Accepted, Storm
from tests.e2e.application import ALICE, Application
from tests.e2e.processes import SERVICES
from tests.servers.engine import Engine
from tests.servers.fleet import Fleet
from tests.servers.images import module_image
from tests.servers.server import Server

SECONDS = float(os.environ.get("MLMESH_TEST_STORM_SECONDS", "60"))
"""On processes, and again in containers."""
SEED = int(os.environ.get("MLMESH_TEST_STORM_SEED") or secrets.randbelow(10**6))
SLOTS = "8"
"""More at work when a fault comes, and less that waits when the storm is over."""
PATIENCE_S = 240.0
"""Until everything that was accepted has ended."""


@pytest.fixture(params=["processes", "containers"])
def storm(request: pytest.FixtureRequest, tmp_path: Path, fleet: Fleet) -> Iterator[Storm]:
    """With containers, their engine is one of the victims."""
    servers: dict[str, Server] = {
        "PostgreSQL": fleet.own_postgres,
        "RabbitMQ": fleet.own_rabbitmq,
        "MinIO": fleet.own_minio,
    }
    runtime = "process://"
    if request.param == "containers":
        servers["Docker Engine"] = fleet.own_docker
        runtime = fleet.own_docker.runtime
    with running(tmp_path, fleet, runtime, WORKER_SLOTS=SLOTS) as mesh, closing(Api(mesh.url, mesh.token)) as api:
        app = Application(mesh, api)
        app.write(FILES)
        if mesh.contained:
            module_image(fleet.own_docker, IMAGE, app.repository.working)
        app.start(FILES)
        mesh.begin(SECOND, "scheduler")
        mesh.ready(SECOND)
        yield Storm(mesh, app, servers, SEED)


def test_what_was_accepted_in_a_storm_ends_as_it_must(storm: Storm) -> None:
    sys.stderr.write(f"storm of {SECONDS:.0f} s, seed {SEED}\n")
    storm.rage(SECONDS)
    for name in (*SERVICES, SECOND):
        storm.mesh.ready(name)
    app = storm.app
    ended = {one.place: app.ended(one.place, PATIENCE_S) for one in storm.accepted}
    said = Counter(f"{one.shape} {ended[one.place]['status']}" for one in storm.accepted)
    sys.stderr.write(f"{len(storm.faults)} faults: {dict(Counter(storm.faults))}; runs: {dict(said)}\n")
    for one in storm.accepted:
        run = ended[one.place]
        assert run["status"] == SHAPES[one.shape].ends, (SEED, one, run["reason"], run["stages"])
        check_outputs(app, one)
    assert len({one.place for one in storm.accepted}) == len(storm.accepted)
    assert listed(app) == {one.place.rpartition("/")[2] for one in storm.accepted}, "a key made a second run"
    nothing_is_left(storm)


def listed(app: Application) -> set[str]:
    """All runs, page by page."""
    found: set[str] = set()
    following: str | None = ""
    while following is not None:
        page = app.api.get(f"{app.path}/runs?limit=500{following and f'&cursor={following}'}")
        found |= {run["id"] for run in page["items"]}
        following = page["next"]
    return found


def check_outputs(app: Application, one: Accepted) -> None:
    """What is published is whole and determined by the input; a failed run has published nothing."""
    shape, run = SHAPES[one.shape], one.place.rpartition("/")[2]
    address = f"/{app.name}/files/results/runs/{run}/{shape.variable}/"
    visible = [file["name"] for file in app.api.send("GET", address, user=ALICE).json()["items"]]
    if shape.ends != "succeeded":
        assert visible == [], one
        return
    files = app.outputs(one.place, shape.variable)
    assert (list(files), visible) == (["out"], ["out"]), one
    assert shape.good(one.word, files["out"].decode()), (SEED, one, files)


def nothing_is_left(storm: Storm) -> None:
    app, mesh = storm.app, storm.mesh
    for what, path, number in (("is held", "workers", "tasks"), ("waits", "queues", "depth")):
        address = f"/api/v1/{path}"
        app.eventually(
            f"nothing {what}",
            lambda: not any(one[number] for one in app.api.get(address)["items"]),  # noqa: B023
        )
    app.eventually("no process of a stage runs", lambda: not mesh.containers())
    if isinstance(engine := storm.servers.get("Docker Engine"), Engine):
        app.eventually("no container is left", lambda: not engine.containers(mesh.installation))
    folders = mesh.data / "scratch" / "tasks"
    app.eventually("scratch is empty", lambda: not [one for one in folders.glob("*/*") if one.is_dir()])
