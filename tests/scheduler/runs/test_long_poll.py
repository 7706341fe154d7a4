"""Callers who wait for a run: told of what changes, and at no cost while nothing does."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import pytest

from libs.common.db import Database
from services.scheduler.db import runs
from services.scheduler.runs import long_poll
from tests.scheduler.conftest import ALICE, DEADLINE_S, Mesh
from tests.scheduler.scenarios.test_runs import BODY, go_live


def record_calls(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[tuple[Any, ...]]:
    """The calls of one of the functions that read for waiters."""
    calls, real = [], getattr(module, name)

    async def read(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        return await real(*arguments, **named)

    monkeypatch.setattr(module, name, read)
    return calls


async def test_an_unchanged_run_is_304(mesh: Mesh) -> None:
    await go_live(mesh)
    _, run, _ = await mesh.submit(BODY)
    address = f"/internal/apps/leaf/runs/{run['id']}"
    _, _, headers = await mesh.call("GET", address)
    same = {**ALICE, "If-None-Match": headers["Etag"]}
    assert (await mesh.call("GET", address, headers=same))[0] == 304


async def test_who_waits_hears_of_what_another_scheduler_changed(mesh: Mesh, database_url: str) -> None:
    await go_live(mesh)
    identity = (await mesh.submit(BODY))[1]["id"]
    path = f"/internal/apps/leaf/runs/{identity}"
    etag = (await mesh.call("GET", path))[2]["Etag"]
    waiting = asyncio.create_task(mesh.call("GET", path, headers={**ALICE, "Prefer": "wait=20", "If-None-Match": etag}))
    await asyncio.sleep(1.5)
    assert not waiting.done()
    database = Database(database_url)
    async with database.write() as conn:
        run = await runs.get(conn, "leaf", identity)
        assert run is not None
        await runs.update_run(conn, run, {"labels": {"changed": "elsewhere"}})
    await database.close()
    async with asyncio.timeout(DEADLINE_S):
        status, _, headers = await waiting
    assert (status, headers["Etag"] == etag) == (200, False)


async def test_who_waits_asks_the_database_nothing_while_nothing_changes(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    await go_live(mesh)
    identity = (await mesh.submit(BODY))[1]["id"]
    path = f"/internal/apps/leaf/runs/{identity}"
    etag = (await mesh.call("GET", path))[2]["Etag"]
    reads = record_calls(monkeypatch, long_poll, "get_run")
    headers = {**ALICE, "Prefer": "wait=4", "If-None-Match": etag}
    assert (await mesh.call("GET", path, headers=headers))[0] == 304
    assert len(reads) <= 4  # before and after, and once for the first look of the lookout


async def test_who_waits_for_the_end_is_told_of_it_and_not_woken_by_stages(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    await go_live(mesh)
    identity = (await mesh.submit(BODY))[1]["id"]
    path, reads = f"/internal/apps/leaf/runs/{identity}", record_calls(monkeypatch, long_poll, "_get_if_ended")
    polls = record_calls(monkeypatch, runs, "get_versions")
    waiter = asyncio.create_task(mesh.call("GET", path, headers={**ALICE, "Prefer": "wait=30"}))
    lease = await mesh.claim(kind="stage")
    for number in range(20):
        have = {"task": lease["task"], "token": lease["token"], "state": "running", "progress": [number, 20]}
        await mesh.send_heartbeat(have)
    assert not waiter.done()
    assert len(reads) <= 1 + len(polls), "at first, and when the poller of changes has found another version"
    await mesh.report(lease, "failed", reason={"code": "error", "detail": "boom"})
    async with asyncio.timeout(DEADLINE_S):
        status, run, _ = await waiter
    assert (status, run["status"]) == (200, "failed")
