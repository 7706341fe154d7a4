"""When the worker sends a heartbeat, and when it asks for an answer that waits for orders."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from libs.common.http.client import ServiceClient
from services.worker import held_tasks as held_tasks_module
from services.worker.heartbeat import HeartbeatSender
from services.worker.held_tasks import HeldTask, HeldTasks
from tests.worker.fake_mesh import FakeMesh
from tests.worker.specs import make_instance_spec, make_lease, make_stage_spec

CHANGES = 3


@dataclass
class BusyScheduler:
    """The next task changes soon after each of the first heartbeats."""

    held_tasks: HeldTasks
    waits: list[float] = field(default_factory=list)

    async def post(self, _path: str, body: Any, timeout: float) -> Any:
        assert timeout > body["wait"]
        self.waits.append(body["wait"])
        if len(self.waits) < CHANGES:
            asyncio.get_running_loop().call_later(0.01, self.held_tasks.changed.set)
        return {"lease_seconds": 15.0}


async def test_only_a_quiet_worker_sends_a_long_poll(tmp_path: Path) -> None:
    held_tasks = HeldTasks(slots=2)
    scheduler = BusyScheduler(held_tasks)
    sender = HeartbeatSender(
        FakeMesh(url="http://127.0.0.1:21000").make_settings(tmp_path), "w1", held_tasks, cast(ServiceClient, scheduler)
    )
    held_tasks.changed.set()
    for _ in range(CHANGES + 1):
        await sender.run_once()
    assert [wait > 0 for wait in scheduler.waits] == [*[False] * CHANGES, True]


async def add_and_end_a_stage(held_tasks: HeldTasks) -> None:
    """Its start is told; its end is still to be."""
    stage = held_tasks.add(make_lease(make_stage_spec()))
    await held_tasks.changed.wait()
    held_tasks.changed.clear()
    assert isinstance(stage, HeldTask)
    held_tasks.remove(stage)


async def test_stages_that_follow_each_other_share_a_heartbeat_and_an_instance_waits_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held_tasks_module, "STAGE_UPDATE_DELAY_S", 0.0)
    monkeypatch.setattr(held_tasks_module, "STAGE_UPDATE_INTERVAL_S", 3600.0)
    held_tasks = HeldTasks(slots=2)
    await add_and_end_a_stage(held_tasks)
    await asyncio.sleep(0.05)
    assert not held_tasks.changed.is_set()
    held_tasks.add(make_lease(make_instance_spec()))
    assert held_tasks.changed.is_set()


async def test_who_waits_for_a_change_waits_for_a_planned_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_tasks_module, "STAGE_UPDATE_DELAY_S", 0.0)
    monkeypatch.setattr(held_tasks_module, "STAGE_UPDATE_INTERVAL_S", 0.1)
    held_tasks = HeldTasks(slots=2)
    await add_and_end_a_stage(held_tasks)
    await held_tasks.wait_for_change(0.0)
    assert held_tasks.changed.is_set()
