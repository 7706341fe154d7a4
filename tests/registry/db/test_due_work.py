"""Due work: which loops have something to do, from one statement."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import Database
from services.registry.apps import App, Repository
from services.registry.db import apps, commit_statuses
from services.registry.db.due_work import find_due_work
from services.registry.db.tables import deployments
from tests.registry.conftest import make_tables

REPOSITORY = Repository("leaf", "leaf", "https://git.example/ann/leaf", "main", "manifests", "login", 30.0, None)


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[AsyncConnection]:
    """Of an app without a repository."""
    await make_tables(database_url)
    database = Database(database_url)
    async with database.write() as connection:
        await apps.add(connection, App("leaf", "Leaf"), 1.0)
        yield connection
    await database.close()


async def add_deployment(conn: AsyncConnection, status: str) -> None:
    lists: dict[str, object] = {"errors": [], "warnings": [], "reported_warnings": []}
    values = {"id": "d1", "app": "leaf", "trigger": "push", "status": status, "commit_id": "1" * 40, "created_at": 0.0}
    await conn.execute(insert(deployments).values(**values, **lists))


async def test_nothing_is_due_without_a_repository(conn: AsyncConnection) -> None:
    assert await find_due_work(conn) == set()


async def test_a_pending_deployment_is_due_until_it_has_ended(conn: AsyncConnection) -> None:
    await add_deployment(conn, "pending")
    assert await find_due_work(conn) == {"deployments"}
    await conn.execute(update(deployments).values(status="live"))
    assert await find_due_work(conn) == set()


async def test_a_poll_is_due_when_its_interval_is_over(conn: AsyncConnection) -> None:
    now = time.time()
    await apps.put_repository(conn, replace(REPOSITORY, polled_at=now))
    assert await find_due_work(conn) == set()
    await apps.put_repository(conn, replace(REPOSITORY, polled_at=now - 31.0))
    assert await find_due_work(conn) == {"polls"}


async def test_a_commit_status_is_due_until_it_is_sent(conn: AsyncConnection) -> None:
    now = time.time()
    await apps.put_repository(conn, replace(REPOSITORY, polled_at=now))
    await add_deployment(conn, "live")
    await commit_statuses.record(conn, "leaf", "d1", now)
    assert await find_due_work(conn) == {"commit statuses"}
    status = await commit_statuses.claim(conn, "leaf", now)
    assert status is not None
    assert await find_due_work(conn) == set()
    await commit_statuses.finish(conn, status)
    assert await find_due_work(conn) == set()


async def test_a_removal_is_due_until_the_scheduler_has_confirmed_it(conn: AsyncConnection) -> None:
    await apps.remove(conn, "leaf", 2.0)
    assert await find_due_work(conn) == {"removals"}
    await apps.finish_removal(conn, "leaf")
    assert await find_due_work(conn) == set()
