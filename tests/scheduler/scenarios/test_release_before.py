"""An upgrade with a run in flight: rows and workers of the release before, and this release's scheduler.

The database was of schema 0010, with what the scheduler before stored; the worker sends golden messages of that time.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.migrations import config, upgrade
from tests.scheduler.conftest import Mesh

TESTS = Path(__file__).parents[2]
MESSAGES = TESTS / "common" / "protocol" / "golden"
PLAN = json.loads((TESTS / "scheduler" / "model" / "golden" / "plan_values.json").read_text())
TASK = {
    "kind": "stage", "app": "leaf", "run": "r_1", "fingerprint": "", "resource_class": "cpu", "priority": 0,
    "spec": {}, "lost": 0, "failures": 0, "stop": False, "created_at": 1.0,
}  # fmt: skip
ROWS: dict[str, list[dict[str, Any]]] = {
    "scheduler_runs": [
        {
            "id": "r_1", "app": "leaf", "pipeline": "train", "user": "alice", "status": "running", "plan": PLAN,
            "inputs": {"raw": "in/a.csv"}, "outputs": {"model": "weights"}, "labels": {}, "priority": 0, "attempt": 1,
            "version": 4, "created_at": 1.0, "started_at": 2.0, "deadline": 4e9,
        }
    ],
    "scheduler_tasks": [
        {
            **TASK, "id": "t_2", "name": "prepare", "replica": 0, "state": "claimed", "attempt": 1, "token": 7,
            "worker": "w1", "lease_until": 4e9, "rung_at": 2.0, "phase": "running", "started_at": 2.0,
        },
        {**TASK, "id": "t_3", "name": "train", "replica": 1, "state": "waiting", "attempt": 0, "token": 0},
    ],
    "scheduler_attempts": [{"task": "t_2", "token": 7, "attempt": 1, "worker": "w1", "started_at": 2.0}],
}  # fmt: skip


def golden(name: str) -> Any:
    return json.loads((MESSAGES / f"{name}.json").read_text())


async def insert_rows(url: str) -> None:
    engine = create_async_engine(url)
    tables = MetaData()
    async with engine.begin() as connection:
        await connection.run_sync(tables.reflect)
        for name, rows in ROWS.items():
            for row in rows:
                await connection.execute(tables.tables[name].insert().values(row))
    await engine.dispose()


@pytest.fixture
def database_url(database_url: str) -> str:
    """A database that was upgraded while the run was in flight."""
    command.upgrade(config(database_url), "0010")
    asyncio.run(insert_rows(database_url))
    upgrade(database_url)
    return database_url


async def test_a_run_in_flight_finishes_with_a_worker_of_the_release_before(mesh: Mesh) -> None:
    orders = await mesh.peer.post("/internal/workers/w1/sync", {**golden("heartbeat"), "wait": 0.0})
    assert orders.keys() == golden("heartbeat_response").keys()
    assert (orders["stop"], orders["gone"]) == ([], [{"task": "t_1", "token": 7}])  # t_2 is known, t_1 is not
    seen = await mesh.get_run("r_1")
    assert (seen["stages"][0]["phase"], seen["stages"][0]["progress"]) == ("running", [3, 10])

    assert await mesh.peer.post("/internal/tasks/t_2/report", golden("report_succeeded")) == golden("report_response")
    response = await mesh.until(lambda: claim(mesh))
    assert response.keys() == golden("claim_response").keys()
    lease = response["lease"]
    assert lease.keys() == golden("claim_response")["lease"].keys()
    assert (lease["task"], lease["spec"]["stage"]) == ("t_3", "train")
    assert lease["spec"].keys() >= golden("stage_spec_later").keys()
    assert lease["spec"]["inputs"][0]["source"] == {"area": "runs/r_1/prepare/7/features"}

    await mesh.peer.post("/internal/tasks/t_3/report", {**golden("report_succeeded"), "token": lease["token"]})
    await mesh.until(lambda: mesh.has_status("r_1", "succeeded"))
    assert len(mesh.services.publications) == 1


async def claim(mesh: Mesh) -> Any:
    response = await mesh.peer.post("/internal/claims", golden("claim_request"))
    return response if response["lease"] else None
