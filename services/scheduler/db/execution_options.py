"""Execution options: how queries reach the caches that belong to the database of their connection."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

Cache = TypeVar("Cache")


def get_option(conn: AsyncConnection, name: str, kind: type[Cache]) -> Cache:
    """The cache that the database was opened with; an empty one where it was opened without."""
    if conn.sync_connection is None:
        return kind()
    cache = conn.sync_connection.get_execution_options().get(name)
    return cache if isinstance(cache, kind) else kind()
