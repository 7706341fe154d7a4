"""Deletes runs: on request, or after the retention period. A tombstone remains while files are deleted, and long after.

Also deletes the files of attempts whose results were rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from libs.common.db import Database, database_time
from libs.common.errors import Conflict, MeshError, NotFound
from libs.common.http.client import ServiceClient
from libs.common.log import get
from libs.common.periodic_task import for_each
from libs.common.protocol.publication import Moves
from libs.common.settings import Settings
from services.scheduler.db import Connection, apps, run_tombstones, stage_cache, tasks
from services.scheduler.db import runs as run_rows
from services.scheduler.loop_triggers import LoopTriggers
from services.scheduler.model.run import Run
from services.scheduler.model.run_tombstone import Cleanup, Tombstone
from services.scheduler.model.task import AttemptRef
from services.scheduler.plans import planner
from services.scheduler.runs.queries import require_run

MAX_BATCH = 100
TOMBSTONE_TTL_S = 365 * 86400.0
"""How long a deleted run answers 410 instead of 404."""


async def delete_run(db: Database, triggers: LoopTriggers, app: str, run_id: str, *, files: bool) -> None:
    """Delete the run, its successors and their logs; with `files` their published files, too.

    Raises Conflict while one of them is active.
    """
    async with db.write() as conn:
        run = await require_run(conn, app, run_id)
        if run.chain and not run.is_chain_head:
            raise Conflict(f"the run belongs to the chain {run.chain}; delete that run")
        chain_runs = await _list_chain_runs(conn, run)
        if open_run := next((chain_run for chain_run in chain_runs if not chain_run.is_final), None):
            raise Conflict(f"the run {open_run.id} is {open_run.status}; cancel it first", code="running")
        now = await database_time(conn)
        for chain_run in chain_runs:
            await _delete_rows(conn, chain_run, now, files=files)
    triggers.retention.wake()


async def _list_chain_runs(conn: Connection, run: Run) -> list[Run]:
    return await run_rows.list_chain_attempts(conn, run.id) if run.is_chain_head else [run]


async def _delete_rows(conn: Connection, run: Run, now: float, *, files: bool) -> None:
    succeeded = [task for task in await tasks.list_by_run(conn, run.id) if files and task.state == "succeeded"]
    moves = (move for task in succeeded for move in planner.publication_moves(run, task))
    cleanup = Cleanup(areas=(f"runs/{run.id}", f"logs/runs/{run.id}"), published=tuple(moves))
    tombstone = Tombstone(run=run.id, app=run.app, deleted_at=now, cleanup=cleanup)
    await stage_cache.delete_run_entries(conn, run.id)
    await run_tombstones.add_tombstone(conn, tombstone)
    await run_rows.delete_run(conn, run.id)


async def enforce_retention(db: Database, databox: ServiceClient, settings: Settings) -> None:
    """Delete expired runs, then files of deleted runs and of rejected attempts."""
    async with db.read() as conn:
        now = await database_time(conn)
        limits = {
            name: now - retention_seconds(manifest, settings.retention)
            for name, manifest in await apps.list_platform_apps(conn)
        }
        expired_apps = [
            name for name, cutoff in limits.items() if await run_rows.list_ended_before(conn, name, cutoff, 1)
        ]
    await for_each(expired_apps, lambda name: _delete_expired(db, name, limits[name], now))
    await _clean_tombstones(db, databox)
    await _clean_attempts(db, databox, now)


async def _delete_expired(db: Database, name: str, cutoff: float, now: float) -> None:
    async with db.write() as conn:
        for expired in await run_rows.list_ended_before(conn, name, cutoff, MAX_BATCH):
            run = await run_rows.get(conn, name, expired.id, lock=True)  # a caller may retry it at this moment
            chain_runs = await _list_chain_runs(conn, run) if run else []
            if all(chain_run.is_final for chain_run in chain_runs):
                for chain_run in chain_runs:
                    await _delete_rows(conn, chain_run, now, files=False)


def retention_seconds(manifest: Mapping[str, Any] | None, default: float) -> float:
    """Retention of an app's runs after their end in seconds; `manifest`: the PlatformApp, if any."""
    configured = (manifest or {}).get("spec", {}).get("retention")
    return default if configured is None else float(configured)


async def _clean_tombstones(db: Database, databox: ServiceClient) -> None:
    async with db.read() as conn:
        pending = await run_tombstones.list_pending_cleanup(conn, MAX_BATCH)
    for tombstone in pending:
        try:
            await _delete_files(databox, tombstone.app, tombstone.cleanup)
        except MeshError as error:
            get("scheduler").info("Failed to delete the files of a run", run=tombstone.run, why=error.detail)
            continue
        async with db.write() as conn:
            await run_tombstones.mark_cleaned(conn, tombstone.run)
    async with db.write() as conn:
        await run_tombstones.delete_older(conn, await database_time(conn) - TOMBSTONE_TTL_S)


async def _clean_attempts(db: Database, databox: ServiceClient, now: float) -> None:
    async with db.read() as conn:
        attempts = await tasks.list_unswept_attempts(conn, now, MAX_BATCH)
    await for_each(attempts, lambda attempt: _clean_attempt(db, databox, attempt), lambda attempt: attempt.task)


async def _clean_attempt(db: Database, databox: ServiceClient, attempt: AttemptRef) -> None:
    area = planner.attempt_area(attempt.run, attempt.stage, attempt.token)
    with suppress(NotFound):  # the app is deleted, with all its files
        await databox.delete(f"/internal/apps/{attempt.app}/areas/{area}")
    async with db.write() as conn:
        await tasks.mark_attempt_swept(conn, attempt)


async def _delete_files(databox: ServiceClient, app: str, cleanup: Cleanup) -> None:
    """Published files before areas: databox recognises published files by the contents of the areas."""
    if cleanup.published:
        await databox.post(f"/internal/apps/{app}/removals", Moves(moves=cleanup.published).to_json())
    for area in cleanup.areas:
        await databox.delete(f"/internal/apps/{app}/areas/{area}")
