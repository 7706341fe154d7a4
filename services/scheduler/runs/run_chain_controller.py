"""The chain controller: starts the successor of a succeeded run, and ends the chain with its last run."""

from __future__ import annotations

from libs.common.db import Database, database_time
from libs.common.periodic_task import for_each
from services.scheduler.db import runs as run_rows
from services.scheduler.db import tasks
from services.scheduler.plans.planner import new_run_id
from services.scheduler.runs import cancel_retry, new_runs, run_chain
from services.scheduler.tasks.transition_applier import TransitionApplier


async def advance_chains(db: Database, applier: TransitionApplier) -> None:
    async with db.read() as conn:
        open_chains = await run_rows.list_open_chains(conn)
    await for_each(
        open_chains, lambda open_chain: _advance_fully(db, applier, *open_chain), lambda open_chain: open_chain[1]
    )


async def _advance_fully(db: Database, applier: TransitionApplier, app: str, first: str) -> None:
    while await _advance_chain(db, applier, app, first):
        continue


async def _advance_chain(db: Database, applier: TransitionApplier, app: str, chain_id: str) -> bool:
    """Take one step. Whether a run was started, so that another step may follow."""
    ended_run = None
    async with db.write() as conn:
        now = await database_time(conn)
        first = await run_rows.get(conn, app, chain_id, lock=True)
        if first is None or first.is_final:
            return False
        successors = (await run_rows.list_chain(conn, chain_id))[1:]
        step = run_chain.next_chain_step(first, await tasks.list_by_run(conn, chain_id), successors, now)
        if step.final_columns is not None:
            ended_run = await run_rows.update_run(conn, first, step.final_columns)
        elif step.start_position is not None:
            previous = successors[-1] if successors else first
            stages = await tasks.list_by_run(conn, previous.id)
            draft = run_chain.build_successor(first, previous, stages, step.start_position, new_run_id())
            new_run = new_runs.start_run(draft, now)
            await new_runs.insert_runs(conn, [new_run])
            await run_rows.update_run(conn, first, {})
    if step.start_position is not None:
        new_runs.log_submission(new_run.run)
    if step.cancel_run is not None:
        await cancel_retry.cancel_if_open(db, applier, app, step.cancel_run)
    applier.notify_chain(chain_id, ended_run)
    return step.start_position is not None
