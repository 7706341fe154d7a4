"""When the worker sends a heartbeat, and when it asks for an answer that waits for orders."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from libs.common.http.client import ServiceClient
from services.worker.heartbeat import HeartbeatSender
from services.worker.held_tasks import HeldTasks
from tests.worker.fake_mesh import FakeMesh

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
