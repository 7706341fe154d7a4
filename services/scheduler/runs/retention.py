"""Runs that go: by a caller's word or by age. A mark stays where a run was, until its files are gone and long after.

What attempts left that were not accepted goes, too.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from libs.common.db import clock
from libs.common.errors import Conflict, MeshError, NotFound
from libs.common.log import get
from libs.common.periodic_task import for_each
from services.scheduler.db import Connection, apps, stage_cache, tasks, tombstones
from services.scheduler.db import runs as rows
from services.scheduler.dependencies import Parts
from services.scheduler.model.run import Run
from services.scheduler.model.task import AttemptRef
from services.scheduler.plans import planner
from services.scheduler.runs.queries import present

AT_ONCE = 100
REMEMBERED_S = 365 * 86400.0
"""How long a run that is gone is told from one that never was."""


async def remove(parts: Parts, app: str, run_id: str, *, files: bool) -> None:
    """The run, those that continued it, and their logs; with `files` what they have published, too.

    Raises Conflict while one of them is at work.
    """
    async with parts.db.write() as c:
        run = await present(c, app, run_id)
        if run.chain and not run.is_chain_head:
            raise Conflict(f"the run is a part of {run.chain}; delete that one")
        found = await _with_chain(c, run)
        if busy := next((one for one in found if not one.is_final), None):
            raise Conflict(f"the run {busy.id} is {busy.status}; cancel it first", code="running")
        now = await clock(c)
        for one in found:
            await _remove(c, one, now, files=files)
    parts.wakes.sweep()


async def _with_chain(c: Connection, run: Run) -> list[Run]:
    return await rows.list_chain_attempts(c, run.id) if run.is_chain_head else [run]


async def _remove(c: Connection, run: Run, now: float, *, files: bool) -> None:
    done = [task for task in await tasks.list_by_run(c, run.id) if files and task.state == "succeeded"]
    left = {
        "areas": [f"runs/{run.id}", f"logs/runs/{run.id}"],
        "published": [move for task in done for move in planner.publication_moves(run, task)],
    }
    await stage_cache.delete_run_entries(c, run.id)
    await tombstones.add_tombstone(c, {"run": run.id, "app": run.app, "at": now, "left": left})
    await rows.delete_run(c, run.id)


async def step(parts: Parts) -> None:
    """Remove runs that are too old, then the files of those that are gone, and of attempts that came to nothing."""
    async with parts.db.read() as c:
        now = await clock(c)
        limits = {
            name: now - retention(found, parts.settings.retention) for name, found in await apps.list_platform_apps(c)
        }
        old = [name for name, before in limits.items() if await rows.list_ended_before(c, name, before, 1)]
    await for_each(old, lambda name: _age(parts, name, limits[name], now))
    await _clear(parts)
    await _sweep(parts, now)


async def _age(parts: Parts, name: str, before: float, now: float) -> None:
    async with parts.db.write() as c:
        for old in await rows.list_ended_before(c, name, before, AT_ONCE):
            run = await rows.get(c, name, old.id, lock=True)  # somebody may retry it at this moment
            chained = await _with_chain(c, run) if run else []
            if all(one.is_final for one in chained):
                for one in chained:
                    await _remove(c, one, now, files=False)


def retention(manifest: dict[str, Any] | None, default: float) -> float:
    """How long runs of an app (its PlatformApp, if it has one) are kept after their end, in seconds."""
    said = (manifest or {}).get("spec", {}).get("retention")
    return default if said is None else float(said)


async def _clear(parts: Parts) -> None:
    async with parts.db.read() as c:
        found = await tombstones.list_pending_cleanup(c, AT_ONCE)
    for mark in found:
        try:
            await _clear_one(parts, mark["app"], mark["left"])
        except MeshError as error:
            get("scheduler").info("files of a removed run are still there", run=mark["run"], why=error.detail)
            continue
        async with parts.db.write() as c:
            await tombstones.mark_cleaned(c, mark["run"])
    async with parts.db.write() as c:
        await tombstones.delete_older(c, await clock(c) - REMEMBERED_S)


async def _sweep(parts: Parts, now: float) -> None:
    async with parts.db.read() as c:
        found = await tasks.list_unswept_attempts(c, now, AT_ONCE)
    await for_each(found, lambda one: _sweep_one(parts, one), lambda one: one.task)


async def _sweep_one(parts: Parts, one: AttemptRef) -> None:
    area = planner.attempt_area(one.run, one.stage, one.token)
    with suppress(NotFound):  # the app is gone, and all that it had
        await parts.peers.databox.delete(f"/internal/apps/{one.app}/areas/{area}")
    async with parts.db.write() as c:
        await tasks.mark_attempt_swept(c, one)


async def _clear_one(parts: Parts, app: str, left: dict[str, Any]) -> None:
    """What was published first: it is known by what the areas hold."""
    if left["published"]:
        await parts.peers.databox.post(f"/internal/apps/{app}/removals", {"moves": left["published"]})
    for area in left["areas"]:
        await parts.peers.databox.delete(f"/internal/apps/{app}/areas/{area}")
