"""The scheduler's tables and every query on them. SQL lives here and nowhere else in the scheduler.

Functions take an open connection and return frozen values of `services.scheduler.state`; who opens the transaction decides.
"""

from services.scheduler.db.tables import metadata

__all__ = ["metadata"]
