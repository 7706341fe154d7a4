"""A worker that drains: nothing new comes to it, and what serves there moves without a gap."""

from __future__ import annotations

from tests.scheduler.conftest import OWNER, Mesh, healthy
from tests.scheduler.test_service import BODY, go_live


async def drained(mesh: Mesh, worker: str = "w1", **more: bool) -> None:
    status, answer, _ = await mesh.call("POST", f"/api/v1/workers/{worker}/drain", headers=OWNER, **more)
    assert (status, answer) == (202, {"name": worker, "draining": not more.get("off", False)})


async def endpoints(mesh: Mesh) -> list[str]:
    return [one["id"] for one in (await mesh.table())["components"]["echo"]["endpoints"]]


async def test_an_instance_moves_to_another_worker_before_it_is_stopped(mesh: Mesh) -> None:
    old = await go_live(mesh)
    await mesh.sync(worker="w2")
    await drained(mesh)
    new = await mesh.claim(worker="w2", kind="instance")
    orders = await mesh.sync(healthy(old))
    assert (orders["drain"], orders["stop"], await endpoints(mesh)) == (True, [], [old["task"]])
    await mesh.sync(healthy(new), worker="w2")

    async def ordered() -> bool:
        return bool((await mesh.sync(healthy(old)))["stop"])

    await mesh.until(ordered)
    assert await endpoints(mesh) == [new["task"]]


async def test_an_instance_that_nobody_else_takes_serves_on(mesh: Mesh) -> None:
    lease = await go_live(mesh)
    await drained(mesh)
    assert (await mesh.sync(healthy(lease)))["stop"] == []
    assert (await mesh.peer.post("/internal/claims", {"worker": "w2", "classes": ["cpu"], "free": 2}))["lease"] is None
    assert await endpoints(mesh) == [lease["task"]]


async def test_a_stage_that_was_handed_back_is_another_workers_and_lost_nothing(mesh: Mesh) -> None:
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    lease = await mesh.claim(kind="stage")
    await drained(mesh)
    await mesh.report(lease, "returned")
    refused = await mesh.peer.post("/internal/claims", {"worker": "w1", "classes": ["cpu"], "free": 2})
    assert (refused["lease"], refused["reason"]["code"]) == (None, "draining")
    again = await mesh.claim(worker="w2", kind="stage")
    assert (again["task"], again["token"] > lease["token"]) == (lease["task"], True)
    await mesh.report(again, "succeeded", worker="w2")
    await mesh.report(await mesh.claim(worker="w2", kind="stage"), "succeeded", worker="w2")
    await mesh.until(lambda: mesh.status(run["id"], "succeeded"))
    await drained(mesh, off=True)
    assert (await mesh.sync())["drain"] is False
