"""The migrations make exactly the tables that the services declare, from an empty database, on both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.migrations import downgrade, upgrade
from libs.common.db import PREVIOUS_SCHEMA, SCHEMA, SCHEMA_TABLE
from libs.common.errors import MeshError
from services.cli.cli_errors import Failure
from services.cli.service_process import check_schema
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
        return not (kind == "table" and name == SCHEMA_TABLE)

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


def test_a_second_downgrade_changes_nothing(database_url: str) -> None:
    upgrade(database_url)
    downgrade(database_url)
    downgrade(database_url)
    with pytest.raises(Failure, match=f"has schema {PREVIOUS_SCHEMA}, this release works on {SCHEMA}; try: mlmesh mig"):
        asyncio.run(check_schema(database_url))


def test_services_refuse_a_schema_that_they_do_not_know(database_url: str) -> None:
    with pytest.raises(Failure, match="has no tables yet; make them with: mlmesh migrate"):
        asyncio.run(check_schema(database_url))
    upgrade(database_url)
    asyncio.run(check_schema(database_url))
    asyncio.run(renamed(database_url, "9999"))
    with pytest.raises(Failure, match=f"has schema 9999, this release works on {SCHEMA}"):
        asyncio.run(check_schema(database_url))
    with pytest.raises(MeshError, match="another release"):
        upgrade(database_url)


async def renamed(url: str, revision: str) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text(f"UPDATE {SCHEMA_TABLE} SET version_num = '{revision}'"))  # noqa: S608
    await engine.dispose()
