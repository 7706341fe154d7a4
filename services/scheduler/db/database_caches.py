"""Caches that belong to a database: its connections carry them as execution options."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

Cache = TypeVar("Cache")


def get_cache(conn: AsyncConnection, name: str, kind: type[Cache]) -> Cache:
    """The cache with which the database was opened; a new one when it was opened without."""
    if conn.sync_connection is None:
        return kind()
    cache = conn.sync_connection.get_execution_options().get(name)
    return cache if isinstance(cache, kind) else kind()
