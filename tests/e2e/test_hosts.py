"""Two workers on two hosts with networks of their own, and clocks that are wrong by five minutes to both sides."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime

import pytest

from deploy.demo.api import Api
from tests.e2e.application import FILES, PIPELINE, Application
from tests.e2e.processes import Place, Processes, running
from tests.servers.fleet import Fleet
from tests.servers.hosts import HERE, Host, clock, hosts

LATE, EARLY = -300, 300
LEASE_S = 4.0
ON_BOTH = {
    **FILES,
    "manifests/copy.yml": PIPELINE.replace("    - name: two\n", "    - name: two\n      resources: {gpu: 1}\n"),
}


@pytest.fixture(scope="module")
def two() -> Iterator[list[Host]]:
    with hosts(2) as found:
        yield found


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, fleet: Fleet, two: list[Host]) -> Iterator[Processes]:
    """One worker for each resource class."""
    folder = tmp_path_factory.mktemp("mesh")
    with fleet.settings() as servers:
        settings = {name: text.replace("127.0.0.1", HERE) for name, text in servers.items()}
        places = {name: Place(environ=clock(EARLY)) for name in ("scheduler", "databox")}
        places |= {name: Place(environ=clock(LATE)) for name in ("gateway", "registry")}
        for name, host, taken, wrong in (("worker", two[0], "cpu", LATE), ("second", two[1], "gpu", EARLY)):
            own = {"MLMESH_DATA": str(folder / name), "MLMESH_WORKER_ADVERTISE": host.address}
            environ = {**own, "MLMESH_WORKER_CLASSES": taken, **clock(wrong)}
            places[name] = Place(host.address, host.words, environ)
        apart = Processes(folder, {**settings, "RUNTIME": "process://"}, address=HERE, places=places)
        with running(apart) as mesh:
            mesh.begin("second", "worker")
            mesh.ready("second")
            yield mesh


@pytest.fixture(scope="module")
def app(mesh: Processes) -> Iterator[Application]:
    with closing(Api(mesh.url, mesh.token)) as api:
        app = Application(mesh, api)
        app.start(ON_BOTH)
        yield app


def when(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_run_goes_over_both_hosts_and_its_times_are_of_one_clock(app: Application) -> None:
    began = time.time()
    place = app.submit({"seconds": {"one": LEASE_S + 1.0}}).headers["Location"]
    ended = app.ended(place)
    assert (ended["status"], [stage["attempt"] for stage in ended["stages"]]) == ("succeeded", [1, 1]), ended
    marks = [ended["created_at"], *(stage[name] for stage in ended["stages"] for name in ("started_at", "finished_at"))]
    times = [began, *map(when, marks), when(ended["finished_at"]), time.time()]
    assert times == sorted(times)
    assert len(app.outputs(place)["marks"].split()) == 2


def test_a_component_on_another_host_answers_and_is_called_in_somebodys_name(app: Application) -> None:
    assert [app.shout().status for _ in range(20)] == [200] * 20
    body = {"inputs": [{"name": "text", "datatype": "str", "data": "later"}]}
    answer = app.call("POST", "/shout/predict", body, headers={"Prefer": "respond-async"})
    assert answer.status == 202, answer.body
    run = app.ended(answer.headers["Location"])
    assert run["status"] == "succeeded", run
    assert run["result"]["outputs"][0]["data"] == "LATER!"


def test_a_host_that_is_cut_off_loses_its_stage_and_its_late_word_changes_nothing(
    app: Application, mesh: Processes, two: list[Host]
) -> None:
    place = app.submit({"seconds": {"two": LEASE_S + 4.0}}).headers["Location"]
    path = place.removeprefix(f"/{app.name}")
    app.eventually("two runs", lambda: app.call("GET", path).json()["stages"][1]["phase"] == "running")
    two[1].cut_off()
    try:
        app.eventually("its lease is over", lambda: app.call("GET", path).json()["stages"][1]["status"] == "queued")
        why = app.call("GET", path).json()["stages"][1]["reason"]
        assert why["code"] == "lost", why
    finally:
        two[1].reconnect()
    ended = app.ended(place)
    assert (ended["status"], [stage["attempt"] for stage in ended["stages"]]) == ("succeeded", [1, 2]), ended
    assert len(app.outputs(place)["marks"].split()) == 2
    app.eventually("nothing is left on the host", lambda: not list((mesh.folder / "second/scratch/tasks").glob("*/*")))


def test_a_drained_host_loses_no_call(app: Application, mesh: Processes, two: list[Host]) -> None:
    """Its component moves to a worker that came for it."""
    third = "third"
    mesh.begin(third, "worker")
    mesh.ready(third)
    name = next(one["name"] for one in app.api.get("/api/v1/workers")["items"] if one["tasks"])
    mesh.run("worker", "drain", name)
    statuses = []

    def moved() -> bool:
        statuses.append(app.shout().status)
        held = {one["name"]: one["tasks"] for one in app.api.get("/api/v1/workers")["items"]}
        return not held[name]

    app.eventually("the component has moved", moved)
    statuses += [app.shout().status for _ in range(20)]
    assert set(statuses) == {200}
