"""The registry's tables and every SQL statement of the service. Never calls the network."""

from sqlalchemy.ext.asyncio import AsyncConnection as Connection

from services.registry.db.tables import metadata

__all__ = ["Connection", "metadata"]
