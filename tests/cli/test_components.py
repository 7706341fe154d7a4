from __future__ import annotations

from tests.cli.conftest import Run
from tests.cli.fake_mesh import FakeMesh


def test_a_warm_instance_is_shown_with_its_end(run: Run, mesh: FakeMesh) -> None:
    stops_at = "2026-01-01T00:00:00.000Z"
    instance = {"id": "i_1", "status": "healthy", "worker": "w", "reason": None, "detail": None, "stops_at": stops_at}
    component = {
        "name": "c",
        "status": "healthy",
        "reason": None,
        "instances": [instance],
        "error": None,
        "log_tail": [],
    }
    mesh.set_replies("GET", "/api/v1/apps/a/components/c", component)
    (line,) = (line for line in run("component", "show", "a", "c").out.splitlines() if "i_1" in line)
    assert line.startswith("instance   i_1  healthy  w  replaced; warm for a rollback, stops ")


def test_an_instance_that_refuses_calls_is_shown_with_why(run: Run, mesh: FakeMesh) -> None:
    instance = {"id": "i_1", "status": "unhealthy", "worker": "w", "reason": None, "detail": "Every slot is held."}
    why = {"code": "unhealthy", "detail": "Every slot is held."}
    component = {
        "name": "c",
        "status": "unhealthy",
        "reason": why,
        "instances": [instance],
        "error": None,
        "log_tail": [],
    }
    mesh.set_replies("GET", "/api/v1/apps/a/components/c", component)
    assert run("component", "show", "a", "c").out.splitlines() == [
        "component  c",
        "status     unhealthy",
        "reason     unhealthy: Every slot is held.",
        "instance   i_1  unhealthy  w  Every slot is held.",
    ]
