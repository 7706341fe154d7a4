"""Alembic's entry: runs the migrations on the database that `deploy.migrations` was asked for."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from libs.common.db import SCHEMA_TABLE
from services.databox.db import metadata as databox
from services.registry.db import metadata as registry
from services.scheduler.db import metadata as scheduler

LOCK = 7203001
"""PostgreSQL's advisory lock: two migrators at once take turns."""


def migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({LOCK})")
        connection.commit()
    context.configure(connection=connection, target_metadata=[databox, registry, scheduler], version_table=SCHEMA_TABLE)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()


async def run(url: str) -> None:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


asyncio.run(run(context.config.attributes["database_url"]))
