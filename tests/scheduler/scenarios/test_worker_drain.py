"""Draining a worker: it gets no new tasks, and its instances move to others without a gap."""

from __future__ import annotations

from tests.scheduler.conftest import OWNER, Mesh, healthy_status
from tests.scheduler.scenarios.test_runs import BODY, go_live


async def drain_worker(mesh: Mesh, worker: str = "w1", **params: bool) -> None:
    status, answer, _ = await mesh.call("POST", f"/api/v1/workers/{worker}/drain", headers=OWNER, **params)
    assert (status, answer) == (202, {"name": worker, "draining": not params.get("off", False)})


async def list_endpoints(mesh: Mesh) -> list[str]:
    return [endpoint["id"] for endpoint in (await mesh.get_app_routes())["components"]["echo"]["endpoints"]]


async def test_an_instance_moves_to_another_worker_before_it_is_stopped(mesh: Mesh) -> None:
    old = await go_live(mesh)
    await mesh.send_heartbeat(worker="w2")
    await drain_worker(mesh)
    new = await mesh.claim(worker="w2", kind="instance")
    orders = await mesh.send_heartbeat(healthy_status(old))
    assert (orders["drain"], orders["stop"], await list_endpoints(mesh)) == (True, [], [old["task"]])
    await mesh.send_heartbeat(healthy_status(new), worker="w2")

    async def is_stop_ordered() -> bool:
        return bool((await mesh.send_heartbeat(healthy_status(old)))["stop"])

    await mesh.until(is_stop_ordered)
    assert await list_endpoints(mesh) == [new["task"]]


async def test_an_instance_that_nobody_else_takes_serves_on(mesh: Mesh) -> None:
    lease = await go_live(mesh)
    await drain_worker(mesh)
    assert (await mesh.send_heartbeat(healthy_status(lease)))["stop"] == []
    assert (await mesh.peer.post("/internal/claims", {"worker": "w2", "classes": ["cpu"], "free": 2}))["lease"] is None
    assert await list_endpoints(mesh) == [lease["task"]]


async def test_a_stage_that_was_handed_back_is_another_workers_and_lost_nothing(mesh: Mesh) -> None:
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    lease = await mesh.claim(kind="stage")
    await drain_worker(mesh)
    await mesh.report(lease, "returned")
    refused = await mesh.peer.post("/internal/claims", {"worker": "w1", "classes": ["cpu"], "free": 2})
    assert (refused["lease"], refused["reason"]["code"]) == (None, "draining")
    second_lease = await mesh.claim(worker="w2", kind="stage")
    assert (second_lease["task"], second_lease["token"] > lease["token"]) == (lease["task"], True)
    await mesh.report(second_lease, "succeeded", worker="w2")
    await mesh.report(await mesh.claim(worker="w2", kind="stage"), "succeeded", worker="w2")
    await mesh.until(lambda: mesh.has_status(run["id"], "succeeded"))
    await drain_worker(mesh, off=True)
    assert (await mesh.send_heartbeat())["drain"] is False
