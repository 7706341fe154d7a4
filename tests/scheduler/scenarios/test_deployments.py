"""Deployments from the outside: a revision goes live when all of it can, and not otherwise."""

from __future__ import annotations

import pytest

from tests.scheduler.conftest import Mesh, healthy_status
from tests.scheduler.scenarios.test_runs import BODY, go_live


async def test_a_revision_goes_live_when_its_components_are_healthy_or_wait_for_a_model(mesh: Mesh) -> None:
    lease = await go_live(mesh)
    assert lease["kind"] == "instance"
    table = await mesh.get_app_routes()
    echo, digits = table["components"]["echo"], table["components"]["digits"]
    assert [endpoint["port"] for endpoint in echo["endpoints"]] == [4001]
    assert echo["openapi"] == {"openapi": "3.1.0"}
    assert (digits["endpoints"], digits["reason"]) == (
        [],
        {"code": "model_missing", "detail": "data/weights/model.joblib"},
    )
    assert table["users"] == {"callers": {"alice": "hash"}}
    assert [step["name"] for step in mesh.services.reports["d1"]["steps"]] == ["boxes", "start", "switch"]


async def test_a_component_starts_by_itself_when_its_model_appears(mesh: Mesh) -> None:
    await go_live(mesh)
    mesh.services.files.add("weights/model.joblib")
    lease = await mesh.claim()
    assert lease["spec"]["component"] == "digits"
    assert lease["spec"]["model"] == {"box": "data", "user": "developer", "group": "weights", "file": "model.joblib"}


async def test_a_component_that_cannot_start_fails_the_deployment_and_leaves_the_old_one(mesh: Mesh) -> None:
    old = await go_live(mesh)
    await mesh.deploy("d2")
    lease = await mesh.claim()
    why = {"code": "exited", "detail": "ModuleNotFoundError: No module named 'x'"}
    await mesh.report(lease, "failed", reason=why, log_tail=["Traceback", "ModuleNotFoundError: No module named 'x'"])
    await mesh.until(lambda: mesh.is_reported("d2", "failed"))
    error = mesh.services.reports["d2"]["errors"][0]
    assert error["message"] == "component echo did not start: exited: ModuleNotFoundError: No module named 'x'"
    assert error["log_tail"][-1] == "ModuleNotFoundError: No module named 'x'"
    endpoints = (await mesh.get_app_routes())["components"]["echo"]["endpoints"]
    assert [endpoint["id"] for endpoint in endpoints] == [old["task"]]


@pytest.mark.settings(warm_time=0)
async def test_a_new_revision_takes_over_and_the_old_instance_is_stopped_after_it(mesh: Mesh) -> None:
    old = await go_live(mesh)
    await mesh.deploy("d2")
    new = await mesh.claim()
    await mesh.send_heartbeat(healthy_status(old), healthy_status(new))
    await mesh.until_live("d2")
    endpoints = (await mesh.get_app_routes())["components"]["echo"]["endpoints"]
    assert [endpoint["id"] for endpoint in endpoints] == [new["task"]]

    async def ordered() -> bool:
        orders = await mesh.send_heartbeat(healthy_status(old), healthy_status(new))
        return bool(orders["stop"] == [{"task": old["task"], "token": old["token"]}])

    await mesh.until(ordered)


async def test_a_removed_app_loses_its_routes_and_its_runs_end(mesh: Mesh) -> None:
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    await mesh.peer.delete("/internal/apps/leaf")
    assert (await mesh.peer.get("/internal/table", since=0))["apps"]["leaf"] is None
    assert (await mesh.get_run(run["id"]))["status"] == "canceled"


async def test_an_empty_table_is_waited_for_like_any_other(mesh: Mesh) -> None:
    assert await mesh.peer.get("/internal/table", since=-1, wait=9) == {"version": 0, "full": True, "apps": {}}
    assert await mesh.peer.get("/internal/table", since=0, wait=0.1) is None
