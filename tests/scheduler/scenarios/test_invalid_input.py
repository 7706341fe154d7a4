"""What cannot be taken of a message, or done for one app, run or schedule, harms nothing beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from libs.common.db import Database
from services.scheduler.db import apps, autoscaling, schedules
from services.scheduler.model.schedule import Schedule, ScheduleSpec
from tests.scheduler.conftest import OWNER, SHORT_LEASE_S, Mesh, healthy_status
from tests.scheduler.manifests import catalog_json
from tests.scheduler.scenarios.test_runs import BODY, go_live

NESTED: Any = 1
for _ in range(230):
    NESTED = {"a": NESTED}


def to_raw_json(document: dict[str, Any]) -> bytes:
    """As another program may write it."""
    return json.dumps(document).encode()


BAD_HAVE: list[dict[str, Any]] = [
    {"openapi": [1]},
    {"openapi": "text"},
    {"openapi": {"a": 1 << 70}},
    {"openapi": NESTED},
    {"endpoint": {"host": "127.0.0.1"}},
    {"endpoint": {"host": "127.0.0.1", "port": 1 << 70}},
    {"progress": [1]},
    {"progress": [float("inf"), 2]},
    {"progress": ["x", {}]},
    {"detail": {"a": 1}},
    {"token": "x"},
    {"token": 1 << 70},
    {"state": "a\0b"},
    {"task": None},
]


async def test_a_bad_entry_of_a_heartbeat_costs_the_others_nothing(mesh: Mesh) -> None:
    first = await go_live(mesh)
    await mesh.submit(BODY)
    stage = await mesh.claim(kind="stage")
    for number, bad in enumerate(BAD_HAVE, 1):
        good = {"task": stage["task"], "token": stage["token"], "state": "running", "progress": [number, 99]}
        have = [1, {**healthy_status(first), **bad}, good, {}]
        said = {"host": "here", "classes": ["cpu"], "slots": 2, "free": 1, "wait": 0, "have": have}
        status, answer, _ = await mesh.send("POST", "/internal/workers/w1/sync", to_raw_json(said), {})
        assert status == 200, (bad, answer)
        runs = (await mesh.call("GET", "/api/v1/apps/leaf/runs", headers=OWNER))[1]["items"]
        assert runs[0]["stages"][0]["progress"] == [number, 99], bad
    assert (await mesh.get_app_routes())["components"]["echo"]["endpoints"], "nor the bad one its lease"


async def test_a_worker_whose_name_is_longer_than_128_letters_gets_no_task(mesh: Mesh) -> None:
    await mesh.deploy("d1")
    longest, too_long = "w" * 128, "w" * 129
    claim: dict[str, Any] = {"classes": ["cpu"], "free": 1}
    status, answer, _ = await mesh.call("POST", "/internal/claims", {**claim, "worker": too_long}, {})
    assert (status, [error["field"] for error in answer["errors"]]) == (422, ["worker"])
    lease = await mesh.claim(longest)
    await mesh.send_heartbeat(healthy_status(lease), worker=longest)
    await mesh.until_live("d1")
    heartbeat = {"host": "here", "classes": ["cpu"], "slots": 1, "free": 1}
    status, answer, _ = await mesh.call("POST", f"/internal/workers/{too_long}/sync", heartbeat, {})
    assert (status, answer["detail"]) == (422, "worker: a name has at most 128 characters, not 129")


async def test_a_bad_load_costs_the_others_nothing(mesh: Mesh, database_url: str) -> None:
    good = {"app": "leaf", "component": "echo", "load": 2.0}
    odd: list[dict[str, Any]] = [
        {"load": -1.0}, {"load": "x"}, {"load": float("nan")}, {"component": 7}, {"app": "a\0b"}, {"app": "x" * 1000},
    ]  # fmt: skip
    said = {"gateway": "g", "loads": [5, *({**good, **bad} for bad in odd), good]}
    status, answer, _ = await mesh.send(
        "POST", "/internal/loads", to_raw_json(said), {"Content-Type": "application/json"}
    )
    assert status == 204, answer
    other = Database(database_url)
    async with other.read() as conn:
        assert await autoscaling.get_total_loads(conn, 0.0) == {("leaf", "echo"): 2.0}
    await other.close()


async def test_a_result_that_cannot_be_kept_is_refused_for_good(mesh: Mesh) -> None:
    """Not a defect, which a worker would repeat."""
    await go_live(mesh)
    await mesh.submit(BODY)
    lease = await mesh.claim(kind="stage")
    for bad, wanted in (({"usage": {"a": 1 << 70}}, 422), ({"outputs": [1]}, 422), ({"answer": NESTED}, 200)):
        said = {"worker": "w1", "token": lease["token"], "outcome": "succeeded", **bad}
        status, _, _ = await mesh.send("POST", f"/internal/tasks/{lease['task']}/report", to_raw_json(said), {})
        assert status == wanted, bad


async def test_a_revision_that_cannot_be_read_fails_and_another_goes_live(mesh: Mesh) -> None:
    mesh.services.deployments += [
        {"id": "none"},
        7,  # type: ignore[list-item]
        {"id": "bad", "app": "other", "commit": "c", "catalog": {"components": {"x": 1}}},
    ]
    await go_live(mesh)
    report = mesh.services.reports["bad"]
    assert report["status"] == "failed"
    assert report["errors"][0]["message"].startswith("the scheduler cannot read this revision: ")


async def test_access_that_cannot_be_read_leaves_the_others_theirs(mesh: Mesh) -> None:
    mesh.services.access = {"aaa": {"users": [1]}, "bbb": 7}
    await deploy_beside(mesh)
    assert (await mesh.get_app_routes())["keys"] == {"k": "bob"}


async def deploy_beside(mesh: Mesh) -> None:
    odd_component = mesh.services.access
    leaf = {"users": {"callers": {"alice": "hash"}}, "keys": {"k": "bob"}, "secrets": {}}
    mesh.services.access, mesh.services.version = {**odd_component, "leaf": leaf}, 1
    await mesh.deploy("d1")
    await mesh.send_heartbeat(healthy_status(await mesh.claim()))
    await mesh.until_live("d1")


async def test_an_app_whose_manifests_cannot_be_read_costs_nobody_else_a_lease(mesh: Mesh, database_url: str) -> None:
    """As another release may have left them."""
    lease = await go_live(mesh)
    await mesh.deploy("d2", app="aaa")
    broken = await mesh.claim(kind="instance")
    await mesh.send_heartbeat(healthy_status(lease), healthy_status(broken))
    await mesh.until_live("d2")
    other = Database(database_url)
    async with other.write() as conn:
        await apps.put(conn, "aaa", {"catalog": {"components": 7}})
    await other.close()
    await mesh.send_heartbeat(
        healthy_status(lease, openapi={"openapi": "4"}), {**healthy_status(broken), "state": "unhealthy"}
    )
    assert (await mesh.get_app_routes())["components"]["echo"]["openapi"] == {"openapi": "4"}
    await mesh.deploy("d3", catalog_json(), app="zzz")
    while (other_lease := await mesh.claim(kind="instance"))["app"] != "zzz":
        continue  # on a slow machine the first leases are over by now
    await mesh.send_heartbeat(healthy_status(other_lease))
    await mesh.until_live("d3")


@pytest.mark.settings(lease=SHORT_LEASE_S)
async def test_a_schedule_that_cannot_be_started_holds_up_neither_the_next_nor_a_lease(
    mesh: Mesh, database_url: str
) -> None:
    await go_live(mesh)
    other = Database(database_url)
    good = {"cron": "* * * * *", "timezone": "UTC", "concurrencyPolicy": "Allow", "inputs": {"raw": "in/a.csv"}}
    async with other.write() as conn:
        for pipeline, spec in (("aaa", {}), ("train", good)):
            await schedules.put(
                conn, Schedule(app="leaf", pipeline=pipeline, spec=ScheduleSpec.from_json(spec), next_at=1.0)
            )
    await other.close()
    lease = await mesh.claim(kind="stage")
    await mesh.until(lambda: wait_for_retry(mesh, lease["task"]))


async def wait_for_retry(mesh: Mesh, task: str) -> bool:
    """Whether the task came back from a worker that is silent."""
    body = {"worker": "w2", "classes": ["cpu"], "task": None, "free": 1}
    current = (await mesh.peer.post("/internal/claims", body))["lease"]
    return current is not None and current["task"] == task


async def test_an_application_without_a_description_goes_live_with_a_warning(mesh: Mesh) -> None:
    await mesh.deploy("d1")
    why = "its /openapi.json is no description: it is not a JSON object"
    await mesh.send_heartbeat(healthy_status(await mesh.claim(), detail=why))
    await mesh.until_live("d1")
    warning = mesh.services.reports["d1"]["warnings"][0]
    assert warning["message"] == f"component echo: {why}"
