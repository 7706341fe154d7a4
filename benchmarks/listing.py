"""A scheduler with a long past: pages of 100,000 runs, and the claim of one task among them."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

from benchmarks.figures import Figure, Finding, Unmeasured, median_ms
from libs.common.db import Database
from services.scheduler.db import metadata, open_database, ready_tasks, task_claims, tasks
from services.scheduler.db import runs as run_rows
from services.scheduler.model.run import Run
from services.scheduler.model.run_plan import RunPlan
from services.scheduler.plans import planner
from services.scheduler.runs.pending_reason import NO_SNAPSHOT
from services.scheduler.runs.views import run_to_json as shown
from tests.scheduler.plans.test_planner import make_run
from tests.servers.fleet import Fleet
from tests.servers.provision import Missing

PAST = 100_000
FEW = 1_000
AT_ONCE = 1_000
PAGE = 100
MOST_MS = 20.0
MOST_TIMES = 1.5
"""A claim among many finished runs, over one among few."""
LOOKS = 30
FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "of a user": {"user": "user-7"},
    "failed": {"status": "failed"},
    "of a label": {"label": "team=3"},
    "of a pipeline": {"pipelines": frozenset({"p-2"})},
}
NOTHING: dict[str, Any] = {"user": None, "pipelines": None, "status": None, "cursor": None, "created_after": None,
                           "label": None}  # fmt: skip


def figures() -> Iterator[Finding]:
    try:
        with Fleet() as fleet, fleet.postgres.new_database() as url:
            yield from asyncio.run(measured(url))
    except Missing as missing:
        yield Unmeasured("listing", str(missing))


async def measured(url: str) -> list[Finding]:
    database = open_database(url)
    await database.create_all(metadata)
    await past(database, FEW)
    among_few = await claim_ms(database)
    await past(database, PAST - FEW)
    found: list[Finding] = []
    async with database.write() as c:
        await c.exec_driver_sql("ANALYZE")  # as the server does by itself after a while
    for name, chosen in FILTERS.items():
        slowest = max([await page_ms(database, {**NOTHING, **chosen}, at) for at in (0.0, 0.5, 0.99)])
        note = f"{PAGE} of {PAST} runs with their stages, the slowest of three places; medians of {LOOKS}"
        found.append(Figure(f"listing: {name}", slowest, MOST_MS, "ms", note))
    among_many = await claim_ms(database)
    note = f"{among_many:.1f} ms among {PAST} finished runs, {among_few:.1f} ms among {FEW}"
    found.append(Figure("listing: a claim, many over few", among_many / among_few, MOST_TIMES, "", note))
    await database.close()
    return found


async def past(database: Database, number: int) -> None:
    """Runs that have ended, of ten users and five pipelines."""
    plan = make_run({"inputs": {"raw": "in/a.csv"}}).plan
    base = time.time()
    for start in range(0, number, AT_ONCE):
        some = [finished(plan, base - start - index, random.Random(start + index)) for index in range(AT_ONCE)]
        async with database.write() as c:
            await run_rows.add(c, some)
            stages = [task for one in some for task in planner.build_stage_tasks(one)]
            ended: dict[str, Any] = {
                "state": "succeeded",
                "started_at": base,
                "finished_at": base,
                "token": 1,
                "attempt": 1,
            }
            await tasks.add(c, [replace(task, **ended) for task in stages])


def finished(plan: RunPlan, at: float, chance: random.Random) -> Run:
    return Run(
        id=f"r_{secrets.token_hex(10)}",
        app="leaf",
        pipeline=f"p-{chance.randrange(5)}",
        user=f"user-{chance.randrange(10)}",
        status="failed" if chance.random() < 0.05 else "succeeded",
        plan=plan,
        labels={"team": str(chance.randrange(20))},
        created_at=at,
        started_at=at,
        finished_at=at + 1,
        deadline=at + 10,
    )


async def page_ms(database: Database, chosen: dict[str, Any], at: float) -> float:
    """A page that begins after this part of all runs."""
    cursor = (time.time() - at * PAST, "r_")

    async def look() -> None:
        async with database.read() as c:
            found = await run_rows.list_page(c, "leaf", **{**chosen, "cursor": cursor}, limit=PAGE + 1)
            stages = await tasks.list_by_runs(c, [run.id for run in found])
        for run in found:
            shown(run, stages[run.id], NO_SNAPSHOT, full=False)

    return await timed(look)


async def claim_ms(database: Database) -> float:
    async def claim() -> None:
        async with database.write() as c:
            (found,) = (await ready_tasks.list_next_ready(c, "w", ["cpu"], kinds=("stage", "instance"))).tasks
            await run_rows.lock_and_bump(c, found.app, found.run or "")
            await task_claims.claim_task(c, found.task, "w", time.time(), 15.0)
            await tasks.update_task(c, found.task, {"state": "ready"})

    plan = make_run({"inputs": {"raw": "in/a.csv"}}).plan
    waits = Run(id=f"r_{time.time_ns()}", app="oak", pipeline="p", user="u", status="queued", plan=plan,
                created_at=time.time(), deadline=time.time() + 1000)  # fmt: skip
    async with database.write() as c:
        await run_rows.add(c, [waits])
        await tasks.add(c, planner.build_stage_tasks(waits))
    return await timed(claim)


async def timed(step: Callable[[], Awaitable[None]]) -> float:
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        await step()
        times.append(time.perf_counter() - began)
    return median_ms(times)
