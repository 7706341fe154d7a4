"""The registry's tables and everything that is asked of them. The one place of SQL here; never calls the network."""

from sqlalchemy.ext.asyncio import AsyncConnection as Connection

from services.registry.db.tables import metadata

__all__ = ["Connection", "metadata"]
