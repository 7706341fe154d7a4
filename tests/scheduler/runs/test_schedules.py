"""Schedules over a deployment, a pause and a resume."""

from __future__ import annotations

import pytest

from tests.scheduler.conftest import OWNER, Mesh, healthy_status
from tests.scheduler.runs.test_schedule_starter import deploy_schedule, get_schedule, list_runs, make_due


async def test_a_paused_schedule_starts_nothing_and_goes_on_from_now(mesh: Mesh, database_url: str) -> None:
    await deploy_schedule(mesh, "Allow")
    address = "/api/v1/apps/leaf/schedules/train"
    status, answer, _ = await mesh.call("POST", f"{address}/pause", headers=OWNER)
    assert (status, answer["paused"], answer["next_at"]) == (200, True, None)
    await make_due(database_url)
    assert (await mesh.call("POST", f"{address}/resume", headers=OWNER))[1]["paused"] is False
    assert (await get_schedule(mesh))["next_at"] is not None
    assert await list_runs(mesh) == []
    assert (await mesh.call("POST", "/api/v1/apps/leaf/schedules/none/pause", headers=OWNER))[0] == 404


async def test_a_schedule_that_left_the_manifest_is_gone(mesh: Mesh) -> None:
    await deploy_schedule(mesh, "Allow")
    await mesh.deploy("d2")
    await mesh.send_heartbeat(healthy_status(await mesh.claim(free=0)))
    await mesh.until_live("d2")
    assert (await mesh.call("GET", "/api/v1/apps/leaf/schedules", headers=OWNER))[1]["items"] == []


@pytest.mark.parametrize("policy", ["Replace"])
async def test_same_times_keep_their_pause_over_a_deployment(mesh: Mesh, policy: str) -> None:
    await deploy_schedule(mesh, "Allow")
    await mesh.call("POST", "/api/v1/apps/leaf/schedules/train/pause", headers=OWNER)
    await deploy_schedule(mesh, policy, "d2")
    found = await get_schedule(mesh)
    assert (found["paused"], found["concurrencyPolicy"]) == (True, policy)
