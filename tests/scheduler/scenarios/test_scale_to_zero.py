"""Instances follow the calls that gateways tell of."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scheduler.conftest import SHORT_LEASE_S, Mesh, healthy_status
from tests.scheduler.manifests import catalog_json

IDLE_S = 1.0


def catalog_with_scaling(minimum: int, maximum: int) -> dict[str, Any]:
    catalog = catalog_json()
    scaling = {"min": minimum, "max": maximum, "targetConcurrency": 2, "idleTimeout": IDLE_S}
    catalog["components"]["echo"]["spec"]["scaling"] = scaling
    return catalog


async def report_load(mesh: Mesh, load: float) -> None:
    report = {"gateway": "g", "loads": [{"app": "leaf", "component": "echo", "load": load}]}
    await mesh.peer.post("/internal/loads", report)


async def scale_to_zero(mesh: Mesh, lease: dict[str, Any]) -> None:
    """The instance is told to stop once nobody called; it does."""

    async def stop_ordered() -> bool:
        return bool((await mesh.send_heartbeat(healthy_status(lease)))["stop"])

    await mesh.until(stop_ordered)
    await mesh.report(lease, "stopped")


@pytest.mark.settings(lease=SHORT_LEASE_S)
async def test_a_component_sleeps_when_nobody_calls_and_wakes_with_the_first_call(mesh: Mesh) -> None:
    await mesh.deploy("d1", catalog_with_scaling(0, 2))
    lease = await mesh.claim()
    await mesh.send_heartbeat(healthy_status(lease, openapi={"openapi": "3.1.0"}))
    await mesh.until_live("d1")
    echo = (await mesh.get_app_routes())["components"]["echo"]
    assert (echo["scales"], echo["wakes_within"], len(echo["endpoints"])) == (True, None, 1)

    await scale_to_zero(mesh, lease)
    echo = (await mesh.get_app_routes())["components"]["echo"]
    assert (echo["endpoints"], echo["wakes_within"], echo["openapi"]) == ([], 120.0, {"openapi": "3.1.0"})
    [shown] = [one for one in await list_components(mesh) if one["name"] == "echo"]
    assert shown["status"] == "asleep"

    await report_load(mesh, 1.0)
    again = await mesh.claim()
    await mesh.send_heartbeat(healthy_status(again))
    assert [one["id"] for one in (await mesh.get_app_routes())["components"]["echo"]["endpoints"]] == [again["task"]]


async def test_more_calls_are_more_instances_up_to_the_most(mesh: Mesh) -> None:
    await mesh.deploy("d1", catalog_with_scaling(1, 3))
    leases = [await mesh.claim()]
    await mesh.send_heartbeat(healthy_status(leases[0]))
    await mesh.until_live("d1")
    await report_load(mesh, 40.0)
    leases += [await mesh.claim(), await mesh.claim()]
    await mesh.send_heartbeat(*map(healthy_status, leases))
    assert len((await mesh.get_app_routes())["components"]["echo"]["endpoints"]) == 3
    assert {lease["spec"]["component"] for lease in leases} == {"echo"}


async def test_a_new_version_of_a_sleeping_component_shows_that_it_starts(mesh: Mesh) -> None:
    await mesh.deploy("d1", catalog_with_scaling(0, 2))
    lease = await mesh.claim()
    await mesh.send_heartbeat(healthy_status(lease))
    await mesh.until_live("d1")
    await scale_to_zero(mesh, lease)
    await mesh.deploy("d2", catalog_with_scaling(0, 2))
    broken = await mesh.claim()
    await mesh.report(broken, "failed", reason={"code": "exited", "detail": "ImportError"})
    await mesh.until(lambda: mesh.is_reported("d2", "failed"))
    assert (await mesh.get_app_routes())["components"]["echo"]["wakes_within"] == 120.0


async def list_components(mesh: Mesh) -> Any:
    from tests.scheduler.conftest import OWNER

    return (await mesh.call("GET", "/api/v1/apps/leaf/components", headers=OWNER))[1]["items"]
