"""The route table follows the scheduler: a call to a new app is not refused because the copy is old."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from libs.common.errors import Unavailable
from services.gateway.internal_client import InternalService
from services.gateway.proxy.connection_pool import ConnectionPool
from services.gateway.routing import table_watcher
from services.gateway.routing.table_watcher import TableWatcher
from tests.gateway.mesh import ALICE, Mesh, app_document

CALL = "/late/digits/predict"


async def test_what_the_table_lacks_is_looked_for_before_it_is_refused(mesh: Mesh) -> None:
    assert (await mesh.call("POST", CALL, headers=ALICE))[0] == 404
    mesh.scheduler.apps |= {"late": app_document()}
    mesh.scheduler.version += 1  # without notifying the gateway
    assert (await mesh.call("POST", CALL, headers=ALICE))[0] == 503
    mesh.scheduler.apps |= {"late": app_document(mesh.component.port)}
    mesh.scheduler.version += 1
    assert (await mesh.call("POST", CALL, headers=ALICE))[0] == 200


async def test_many_calls_that_find_nothing_are_few_looks(mesh: Mesh) -> None:
    requests_before = len(mesh.scheduler.requests)
    answers = await asyncio.gather(*(mesh.call("POST", f"/none-{n}/x/predict") for n in range(100)))
    assert {status for status, _, _ in answers} == {404}
    assert len(mesh.scheduler.requests) - requests_before < 20


async def test_a_gateway_without_a_table_asks_for_all_of_it_once(mesh: Mesh) -> None:
    targets = [request.target for request in mesh.scheduler.requests if "/internal/table" in request.target]
    assert targets[0] == "/internal/table?since=-1&wait=0"
    assert not any("since=-1" in target for target in targets[1:])


class FlakyScheduler(InternalService):
    """Fails twice, then sends a table, then nothing new."""

    def __init__(self) -> None:
        super().__init__(ConnectionPool(), "scheduler", "http://127.0.0.1:1", "token")
        self.polls = 0
        self.is_idle = asyncio.Event()

    async def request_json(self, *_: Any, **__: Any) -> Any:
        self.polls += 1
        if self.polls <= 2:
            raise Unavailable("scheduler cannot be reached")
        if self.polls > 3:
            self.is_idle.set()
            await asyncio.Event().wait()
        return {"version": 7, "full": True, "apps": {}}


async def test_an_outage_of_the_scheduler_is_logged_once_at_each_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_watcher, "RETRY_S", 0.01)
    scheduler = FlakyScheduler()
    with capture_logs() as lines:
        run = asyncio.create_task(TableWatcher(scheduler, tmp_path / "table.json").run())
        async with asyncio.timeout(10):
            await scheduler.is_idle.wait()
        run.cancel()
        await asyncio.wait([run])
    assert [(line["event"], line["version"]) for line in lines] == [
        ("Lost connection to scheduler; serving the cached route table", 0),
        ("Connection to scheduler restored; route table refreshed", 7),
    ]
