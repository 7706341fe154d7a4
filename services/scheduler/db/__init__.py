"""The scheduler's tables and every query on them. SQL lives here and nowhere else in the scheduler.

Functions take an open connection, return frozen values of `services.scheduler.model`; the caller owns the
transaction.
"""

from sqlalchemy.ext.asyncio import AsyncConnection as Connection

from services.scheduler.db.tables import metadata

__all__ = ["Connection", "metadata"]
