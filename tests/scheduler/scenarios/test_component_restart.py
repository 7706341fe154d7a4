"""A component that is started anew without a new deployment: health-gated, without a gap."""

from __future__ import annotations

from tests.scheduler.conftest import OWNER, Mesh, healthy_status
from tests.scheduler.scenarios.test_runs import go_live
from tests.scheduler.scenarios.test_worker_drain import list_endpoints

RESTART = "/api/v1/apps/leaf/components/echo/restart"


async def test_the_old_instance_serves_until_the_new_one_does(mesh: Mesh) -> None:
    old = await go_live(mesh)
    status, shown, _ = await mesh.call("POST", RESTART, headers=OWNER)
    assert (status, shown["name"], shown["status"]) == (202, "echo", "healthy")
    new = await mesh.claim(kind="instance")
    assert new["task"] != old["task"]
    orders = await mesh.send_heartbeat(healthy_status(old))
    assert (orders["stop"], await list_endpoints(mesh)) == ([], [old["task"]])
    await mesh.send_heartbeat(healthy_status(old), healthy_status(new))

    async def ordered() -> bool:
        return old["task"] in [
            one["task"] for one in (await mesh.send_heartbeat(healthy_status(old), healthy_status(new)))["stop"]
        ]

    await mesh.until(ordered)
    assert await list_endpoints(mesh) == [new["task"]]
    assert (await mesh.peer.post("/internal/claims", {"worker": "w1", "classes": ["cpu"], "free": 2}))["lease"] is None


async def test_one_that_does_not_start_leaves_the_old_one_serving(mesh: Mesh) -> None:
    old = await go_live(mesh)
    await mesh.call("POST", RESTART, headers=OWNER)
    new = await mesh.claim(kind="instance")
    await mesh.report(new, "failed", reason={"code": "error", "detail": "the model is broken"})
    assert (await mesh.send_heartbeat(healthy_status(old)))["stop"] == []
    assert await list_endpoints(mesh) == [old["task"]]


async def test_only_who_may_write_restarts_and_only_what_there_is(mesh: Mesh) -> None:
    await go_live(mesh)
    reader = {**OWNER, "X-Mlmesh-Scopes": "read:leaf"}
    assert (await mesh.call("POST", RESTART, headers=reader))[0] == 403
    missing = RESTART.replace("echo", "nothing")
    status, problem, _ = await mesh.call("POST", missing, headers=OWNER)
    assert (status, problem["detail"]) == (404, "leaf has no component nothing; components are digits, echo")
