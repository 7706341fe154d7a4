from __future__ import annotations

from tests.cli.conftest import Run
from tests.cli.fake_mesh import FakeMesh, Reply

DRAIN = "/api/v1/workers/w/drain"


def test_a_drained_worker_takes_work_again(run: Run, mesh: FakeMesh) -> None:
    mesh.set_replies("POST", DRAIN, Reply(202, {"name": "w", "draining": True}))
    assert "mlmesh worker undrain w" in run("worker", "drain", "w").out
    mesh.set_replies("POST", DRAIN, Reply(202, {"name": "w", "draining": False}))
    assert run("worker", "undrain", "w").out == "w takes work again\n"
    assert [request.query for request in mesh.requests] == [{}, {"off": "true"}]


def test_the_list_says_which_worker_takes_work(run: Run, mesh: FakeMesh) -> None:
    workers = [
        {"name": "one", "alive": True, "draining": False},
        {"name": "two", "alive": True, "draining": True},
        {"name": "three", "alive": False, "draining": True},
    ]
    mesh.set_replies("GET", "/api/v1/workers", {"items": workers, "next": None})
    rows = [line.split()[:2] for line in run("worker", "list").out.splitlines()[1:]]
    assert rows == [["one", "ready"], ["two", "draining"], ["three", "lost"]]
