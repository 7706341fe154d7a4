"""Instances that a newer deployment has replaced run on for a while: a rollback to them starts nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scheduler.conftest import OWNER, Mesh, healthy_status
from tests.scheduler.scenarios.test_component_restart import RESTART
from tests.scheduler.scenarios.test_runs import go_live
from tests.scheduler.scenarios.test_worker_drain import drain_worker, list_endpoints

COMPONENT = "/api/v1/apps/leaf/components/echo"


async def replace_instance(mesh: Mesh, old: dict[str, Any]) -> dict[str, Any]:
    """Deploy a second version; its lease."""
    await mesh.deploy("d2")
    new = await mesh.claim(kind="instance")
    await mesh.send_heartbeat(healthy_status(old), healthy_status(new))
    await mesh.until_live("d2")
    return new


async def stops(mesh: Mesh, *leases: dict[str, Any]) -> list[str]:
    orders = await mesh.send_heartbeat(*(healthy_status(lease) for lease in leases))
    return [order["task"] for order in orders["stop"]]


async def test_a_rollback_takes_up_what_runs_and_the_next_one_what_it_replaced(mesh: Mesh) -> None:
    old = await go_live(mesh)
    new = await replace_instance(mesh, old)
    assert (await stops(mesh, old, new), await list_endpoints(mesh)) == ([], [new["task"]])
    await mesh.deploy("d3", commit="commit-d1", rollback_to="d1")
    await mesh.until_live("d3")
    assert (await stops(mesh, old, new), await list_endpoints(mesh)) == ([], [old["task"]])
    await mesh.deploy("d4", commit="commit-d2", rollback_to="d2")
    await mesh.until_live("d4")
    assert (await stops(mesh, old, new), await list_endpoints(mesh)) == ([], [new["task"]])
    assert await mesh.claim_once() is None


async def test_it_is_shown_with_the_time_of_its_stop_and_tells_nothing_of_the_component(mesh: Mesh) -> None:
    old = await go_live(mesh)
    new = await replace_instance(mesh, old)
    await mesh.send_heartbeat(healthy_status(old), healthy_status(new, state="unhealthy"))
    _, shown, _ = await mesh.call("GET", COMPONENT, headers=OWNER)
    assert shown["status"] == "unhealthy"
    assert {it["id"]: it["stops_at"] is not None for it in shown["instances"]} == {
        old["task"]: True,
        new["task"]: False,
    }


async def test_a_third_version_needs_the_room(mesh: Mesh) -> None:
    old = await go_live(mesh)
    new = await replace_instance(mesh, old)
    await mesh.deploy("d3")
    third = await mesh.claim(kind="instance")

    async def is_stopped() -> bool:
        return await stops(mesh, old, new) == [old["task"]]

    await mesh.until(is_stopped)
    await mesh.send_heartbeat(healthy_status(new), healthy_status(third))
    await mesh.until_live("d3")
    assert await stops(mesh, new, third) == [old["task"]], "its end is not reported yet"


@pytest.mark.parametrize("change", ["drain", "restart"])
async def test_a_drain_and_a_restart_stop_it(mesh: Mesh, change: str) -> None:
    old = await go_live(mesh)
    new = await replace_instance(mesh, old)
    await (drain_worker(mesh) if change == "drain" else mesh.call("POST", RESTART, headers=OWNER))

    async def is_stopped() -> bool:
        return await stops(mesh, old, new) == [old["task"]]

    await mesh.until(is_stopped)


async def test_a_host_with_little_memory_keeps_none(mesh: Mesh) -> None:
    old = await go_live(mesh)
    new = await replace_instance(mesh, old)
    orders = await mesh.send_heartbeat(healthy_status(old), healthy_status(new), memory_low=True)
    assert [order["task"] for order in orders["stop"]] == [old["task"]]
    await mesh.deploy("d3", commit="commit-d1", rollback_to="d1")
    assert (await mesh.claim(kind="instance"))["task"] not in (old["task"], new["task"])


async def test_a_removed_app_leaves_none(mesh: Mesh) -> None:
    old = await go_live(mesh)
    new = await replace_instance(mesh, old)
    await mesh.peer.delete("/internal/apps/leaf")
    assert sorted(await stops(mesh, old, new)) == sorted([old["task"], new["task"]])
