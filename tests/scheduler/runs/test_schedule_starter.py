"""Pipelines that start by themselves: due ones start once, and what the manifest says of runs that overlap."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from libs.common.db import Database
from tests.scheduler.conftest import OWNER, Mesh, healthy_status
from tests.scheduler.manifests import MANIFESTS, catalog_json

TIMES = b"timezone: Europe/Berlin, inputs: {raw: in/a.csv}"


def catalog_with_schedule(policy: str) -> dict[str, Any]:
    spec = b'  schedule: {cron: "0 6 * * *", %s, concurrencyPolicy: %s}\n---\n' % (TIMES, policy.encode())
    head, rest = MANIFESTS.split(b"      outputs: [{name: model}]\n---\n")
    return catalog_json(head + b"      outputs: [{name: model}]\n" + spec + rest)


async def deploy_schedule(mesh: Mesh, policy: str, deployment: str = "d1") -> None:
    mesh.services.files.add("in/a.csv")
    await mesh.deploy(deployment, catalog_with_schedule(policy))
    await mesh.send_heartbeat(healthy_status(await mesh.claim(free=0)))
    await mesh.until_live(deployment)


async def make_due(database_url: str) -> None:
    """As if it had been due, several times, while nobody was there."""
    database = Database(database_url)
    async with database.write() as conn:
        await conn.execute(text("UPDATE scheduler_schedules SET next_at = next_at - 3 * 86400"))
    await database.close()


async def get_schedule(mesh: Mesh) -> Any:
    return (await mesh.call("GET", "/api/v1/apps/leaf/schedules", headers=OWNER))[1]["items"][0]


async def list_runs(mesh: Mesh) -> list[Any]:
    return list((await mesh.call("GET", "/api/v1/apps/leaf/runs", headers=OWNER))[1]["items"])


async def start_once(mesh: Mesh, database_url: str) -> Any:
    runs_before = (await get_schedule(mesh))["last_at"]
    await make_due(database_url)

    async def is_next_set() -> Any:
        current = await get_schedule(mesh)
        return current if current["last_at"] != runs_before else None

    return await mesh.until(is_next_set)


async def test_a_start_that_was_missed_is_made_up_for_once(mesh: Mesh, database_url: str) -> None:
    await deploy_schedule(mesh, "Allow")
    first = await get_schedule(mesh)
    assert (first["cron"], first["timezone"], first["last_run"]) == ("0 6 * * *", "Europe/Berlin", None)
    found = await start_once(mesh, database_url)
    assert found["next_at"] == first["next_at"]
    (run,) = await list_runs(mesh)
    assert (run["id"], run["user"], run["labels"]) == (found["last_run"], "developer", {"mlmesh.schedule": "train"})
    lease = await mesh.claim(kind="stage")
    assert lease["spec"]["inputs"][0]["source"]["user"] == "developer"


async def test_what_overlaps_is_allowed_refused_or_replaced(mesh: Mesh, database_url: str) -> None:
    await deploy_schedule(mesh, "Allow")
    await start_once(mesh, database_url)
    await start_once(mesh, database_url)
    assert [run["status"] for run in await list_runs(mesh)] == ["queued", "queued"]
    await deploy_schedule(mesh, "Forbid", "d2")
    last = (await get_schedule(mesh))["last_run"]
    found = await start_once(mesh, database_url)
    assert (found["problem"], found["last_run"]) == (f"not started: the previous run {last} has not ended", last)
    await deploy_schedule(mesh, "Replace", "d3")
    found = await start_once(mesh, database_url)
    assert (found["problem"], found["last_run"] == last) == (None, False)
    assert [run["status"] for run in await list_runs(mesh)] == ["queued", "canceled", "queued"]


async def test_a_start_that_cannot_be_says_why_and_is_tried_at_its_next_time(mesh: Mesh, database_url: str) -> None:
    await deploy_schedule(mesh, "Allow")
    mesh.services.files.clear()
    found = await start_once(mesh, database_url)
    assert found["problem"] == "raw: data/in/a.csv does not exist"
    assert (found["next_at"] is not None, await list_runs(mesh)) == (True, [])
