"""The migrations make exactly the tables that the services declare, from an empty database, on both databases."""

from __future__ import annotations

import asyncio
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.migrations import upgrade
from services.databox.db import metadata as databox
from services.registry.db import metadata as registry
from services.scheduler.db import metadata as scheduler


def declared() -> MetaData:
    """All services' tables in one."""
    found = MetaData()
    for owner in (databox, registry, scheduler):
        for table in owner.sorted_tables:
            table.to_metadata(found)
    return found


def differences(connection: Connection) -> list[Any]:
    def ours(_object: object, name: str | None, kind: str, *_rest: object) -> bool:
        return not (kind == "table" and name == "mlmesh_schema")

    context = MigrationContext.configure(connection, opts={"include_object": ours})
    return list(compare_metadata(context, declared()))


async def compared(url: str) -> list[Any]:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()
    return found


def test_the_migrations_make_the_tables_that_the_services_declare(database_url: str) -> None:
    upgrade(database_url)
    assert asyncio.run(compared(database_url)) == []


def test_a_second_upgrade_changes_nothing(database_url: str) -> None:
    upgrade(database_url)
    upgrade(database_url)
    assert asyncio.run(compared(database_url)) == []
