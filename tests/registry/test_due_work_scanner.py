"""The scan that wakes the loops of due work, of another replica for example."""

from __future__ import annotations

import asyncio
import math

from libs.common.db import Database
from libs.common.periodic_task import PeriodicTask
from services.registry.apps import App
from services.registry.db import apps
from services.registry.db.due_work import DueKind
from services.registry.due_work_scanner import DueWorkScanner
from tests.registry.conftest import make_tables

KINDS: tuple[DueKind, ...] = ("deployments", "polls", "commit statuses", "removals")


async def test_it_wakes_the_loop_that_has_something_to_do_and_no_other(database_url: str) -> None:
    await make_tables(database_url)
    database, runs = Database(database_url), asyncio.Queue[str]()

    def loop_of(kind: DueKind) -> PeriodicTask:
        async def note() -> None:
            runs.put_nowait(kind)

        return PeriodicTask(kind, note, math.inf)

    loops = {kind: loop_of(kind) for kind in KINDS}
    running = [asyncio.create_task(loop.run()) for loop in loops.values()]
    assert {await runs.get() for _ in KINDS} == set(KINDS)  # at the start
    scanner = DueWorkScanner(database, loops)
    await scanner.wake_loops()
    async with database.write() as conn:
        await apps.add(conn, App("leaf", "Leaf"), 1.0)
        await apps.remove(conn, "leaf", 2.0)
    await scanner.wake_loops()
    async with asyncio.timeout(30):
        assert await runs.get() == "removals"
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert runs.empty()
    await database.close()
