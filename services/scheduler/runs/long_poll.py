"""Long polls: wait until a run changes or ends."""

from __future__ import annotations

import time

from libs.common.db import Database
from services.scheduler import long_poll_notifier
from services.scheduler.long_poll_notifier import LongPollNotifier
from services.scheduler.model.run import Run
from services.scheduler.read_coalescer import ReadCoalescer
from services.scheduler.runs import views
from services.scheduler.runs.queries import get_run, load_run_json, require_run
from services.scheduler.runs.views import RunJson


async def wait_for_run(
    db: Database,
    run_reads: ReadCoalescer[tuple[Run, RunJson] | None],
    notifier: LongPollNotifier,
    app: str,
    run_id: str,
    seconds: float,
    etag: str | None,
    *,
    owner: bool = False,
) -> tuple[Run, RunJson]:
    """The run as soon as its ETag differs from `etag` (None: as soon as it has ended), or after `seconds`.

    While nothing changes a waiter costs no query: a change notifies it, and the change poller covers other schedulers.
    """
    deadline = time.monotonic() + seconds

    async def read() -> tuple[Run, RunJson] | None:
        return await (_get_if_ended if etag is None else get_run)(db, app, run_id, owner=owner)

    with notifier.subscribe(
        (long_poll_notifier.run_ended if etag is None else long_poll_notifier.run_changed)(run_id)
    ) as subscription:
        while True:
            result = await run_reads.run(f"{etag is None}/{owner}/{app}/{run_id}", read)
            remaining = deadline - time.monotonic()
            if result is not None and (etag is None or views.run_etag(result[0]) != etag):
                return result
            if remaining <= 0 or notifier.closed:
                return result or await get_run(db, app, run_id, owner=owner)
            await subscription.wait(remaining)


async def _get_if_ended(db: Database, app: str, run_id: str, *, owner: bool) -> tuple[Run, RunJson] | None:
    """The run and its JSON if it has ended, else None. Raises NotFound, Gone."""
    async with db.read() as conn:
        run = await require_run(conn, app, run_id, lock=False)
        return (run, await load_run_json(conn, run, owner=owner)) if run.is_final else None
