"""The registry's tables and everything that is asked of them. The one place of SQL here; never calls the network."""

from services.registry.db.tables import metadata

__all__ = ["metadata"]
