"""Caches of rows that never change: one for each database, bounded."""

from __future__ import annotations

from pathlib import Path

from libs.common.db import Database
from services.scheduler.db import open_database
from services.scheduler.db.run_plan_cache import RunPlanCache
from services.scheduler.db.task_run_cache import TaskRunCache
from services.scheduler.model.run_plan import RetryPolicy, RunPlan, StagePlan

EMPTY_PLAN = RunPlan(timeout=1.0)
ONE_STAGE = RunPlan(timeout=1.0, stages=(StagePlan(name="a", retries=RetryPolicy(0, 1.0, 1.0, ()), timeout=1.0),))


async def test_connections_of_one_database_share_its_caches(tmp_path: Path) -> None:
    first, second = (open_database(f"sqlite+aiosqlite:///{tmp_path}/{name}") for name in ("a", "b"))
    try:
        async with first.write() as conn:
            RunPlanCache.for_connection(conn).put("r_1", EMPTY_PLAN)
            TaskRunCache.for_connection(conn).put("t_1", ("leaf", "r_1"))
        async with first.read() as conn:
            assert RunPlanCache.for_connection(conn).get("r_1") == EMPTY_PLAN
            assert TaskRunCache.for_connection(conn).get("t_1") == ("leaf", "r_1")
        async with second.read() as conn:
            assert RunPlanCache.for_connection(conn).get("r_1") is None
            assert TaskRunCache.for_connection(conn).get("t_1") is None
    finally:
        await first.close()
        await second.close()


async def test_a_database_without_caches_reads_its_rows(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/a")
    try:
        async with database.read() as conn:
            RunPlanCache.for_connection(conn).put("r_1", EMPTY_PLAN)
            assert RunPlanCache.for_connection(conn).get("r_1") is None
    finally:
        await database.close()


def test_the_oldest_plans_are_evicted() -> None:
    cache = RunPlanCache(max_stages=5)
    for run in ("r_1", "r_2", "r_3"):
        cache.put(run, ONE_STAGE)
    assert [cache.get(run) is not None for run in ("r_1", "r_2", "r_3")] == [False, True, True]


def test_a_full_task_run_cache_is_emptied() -> None:
    cache = TaskRunCache(max_tasks=2)
    for task in ("t_1", "t_2", "t_3"):
        cache.put(task, ("leaf", None))
    assert [cache.get(task) is not None for task in ("t_1", "t_2", "t_3")] == [False, False, True]
