"""Queries of runs and their JSON representation."""

from __future__ import annotations

from collections.abc import Iterable

from libs.common.db import Database, database_time
from libs.common.errors import Gone, MeshError, NotFound
from services.scheduler.db import Connection, built_images, ready_tasks, run_tombstones, tasks, workers
from services.scheduler.db import runs as run_rows
from services.scheduler.model.run import Run
from services.scheduler.model.task import Task
from services.scheduler.runs import views
from services.scheduler.runs.pending_reason import NO_SNAPSHOT, QueueSnapshot
from services.scheduler.runs.views import RunJson


async def get_run(db: Database, app: str, run_id: str, *, owner: bool = False) -> tuple[Run, RunJson]:
    """The run and its JSON. Raises NotFound, Gone."""
    async with db.read() as conn:
        run = await require_run(conn, app, run_id, lock=False)
        return run, await load_run_json(conn, run, owner=owner)


async def load_run_json(conn: Connection, run: Run, *, owner: bool = False) -> RunJson:
    """The run's JSON, for an owner of the app or for others."""
    stages = await tasks.list_by_run(conn, run.id)
    chain_runs = await run_rows.list_chain(conn, run.chain) if run.chain else ()
    return views.run_to_json(run, stages, await _queue_snapshot(conn, stages), chain_runs, owner=owner)


async def _queue_snapshot(conn: Connection, stages: Iterable[Task]) -> QueueSnapshot:
    """Loaded only when a stage is ready."""
    ready = [task for task in stages if task.state == "ready"]
    if not ready:
        return NO_SNAPSHOT
    return QueueSnapshot(
        await ready_tasks.list_ready_stages(conn),
        await workers.list_alive(conn, await database_time(conn)),
        await built_images.list_engines(conn, {task.image for task in ready if task.image is not None}),
    )


async def runs_to_json(db: Database, runs: list[Run], *, owner: bool) -> list[RunJson]:
    """The JSON of runs as a list shows them, with their stages, which are loaded here."""
    async with db.read() as conn:
        stages = await tasks.list_by_runs(conn, [run.id for run in runs])
        queue = await _queue_snapshot(conn, [task for run in stages.values() for task in run])
    return [views.run_to_json(run, stages[run.id], queue, full=False, owner=owner) for run in runs]


async def require_run(conn: Connection, app: str, run_id: str, *, lock: bool = True) -> Run:
    """The run, by default with its row locked. Raises NotFound, Gone."""
    run = await run_rows.get(conn, app, run_id, lock=lock)
    if run is None:
        raise await not_found_error(conn, app, run_id)
    return run


async def not_found_error(conn: Connection, app: str, run_id: str) -> MeshError:
    if await run_tombstones.has_tombstone(conn, app, run_id):
        return Gone(f"the run {run_id} was removed")
    return NotFound(f"no run {run_id}")
