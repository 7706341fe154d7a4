"""Reuse queries: before it runs a stage, a worker asks whether the stage cache has the outputs already."""

from __future__ import annotations

from dataclasses import replace

from libs.common.db import Database
from libs.common.protocol.report import ReuseQuery
from services.scheduler.db import stage_cache, tasks
from services.scheduler.tasks import transitions
from services.scheduler.tasks.transition_applier import TransitionApplier, lock_task
from services.scheduler.workers.reports import require_current_lease


async def complete_from_cache(db: Database, applier: TransitionApplier, task_id: str, query: ReuseQuery) -> bool:
    """Complete the stage with cached outputs; False when the cache has none."""
    async with db.write() as conn:
        run, stored, now = await lock_task(conn, task_id)
        task = require_current_lease(stored, query.worker, query.token)
        entry = await stage_cache.find_entry(conn, task.app, query.cache_key)
        if run is None or entry is None:
            return False
        await stage_cache.add_use(conn, entry.attempt.run, run.id)
        await tasks.end_attempt(conn, task, "succeeded", None, None, now)
        columns = transitions.stage_after_report(
            run, task, transitions.AttemptResult("succeeded", None, entry.outputs), now
        )
        result = replace(columns["result"], reused=entry.attempt)
        applied = await applier.apply_transition(conn, run, task, {**columns, "result": result}, now)
    applier.publish_changes(task, run, applied)
    return True
