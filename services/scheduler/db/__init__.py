"""The scheduler's tables and every query on them. SQL lives here and nowhere else in the scheduler.

Functions take an open connection, return frozen values of `services.scheduler.model`; the caller owns the
transaction.
"""

from sqlalchemy.ext.asyncio import AsyncConnection as Connection

from libs.common.db import Database
from services.scheduler.db.run_plan_cache import RunPlanCache
from services.scheduler.db.tables import metadata
from services.scheduler.db.task_run_cache import TaskRunCache

__all__ = ["Connection", "metadata", "open_database"]


def open_database(url: str) -> Database:
    """The database with caches of the columns that never change."""
    return Database(url, options={cache.OPTION: cache() for cache in (RunPlanCache, TaskRunCache)})
