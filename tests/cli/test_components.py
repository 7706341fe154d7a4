from __future__ import annotations

from typing import Any

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


def describe_restart(**new: Any) -> dict[str, Any]:
    """A component whose old instance serves, with a new one."""
    old = {"id": "i_1", "status": "healthy", "attempt": 1, "worker": "w", "reason": None, "detail": None}
    instances = [old, {**old, "id": "i_2", **new}]
    return {"name": "c", "status": "healthy", "reason": None, "instances": instances, "error": None, "log_tail": []}


def test_a_restart_that_fails_is_told_at_once(run: Run, mesh: FakeMesh) -> None:
    before = {**describe_restart(), "instances": describe_restart()["instances"][:1]}
    why = {"code": "error", "detail": "the login is wrong"}
    lost = describe_restart(status="waiting", reason={"code": "lost", "detail": "worker w sent no heartbeat"})
    mesh.set_replies("POST", "/api/v1/apps/a/components/c/restart", before)
    mesh.set_replies("GET", "/api/v1/apps/a/components/c", before, lost, describe_restart(status="waiting", reason=why))
    ended = run("component", "restart", "a", "c", "--wait")
    assert ended.code == 1
    assert "c does not start anew (error: the login is wrong); what served serves on" in ended.err
