"""Due work: what the timers start, from one statement."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.db import autoscaling, callbacks, due_conditions, open_database, tables, task_claims, tasks
from services.scheduler.model.autoscaling import ScaleState, ScalingBounds
from services.scheduler.model.callback import Delivery
from tests.scheduler.tasks.rows import task

NOW = 10.0


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[AsyncConnection]:
    database = open_database(database_url)
    await database.create_all(tables.metadata)
    async with database.write() as connection:
        yield connection
    await database.close()


async def test_a_task_is_ready_until_a_worker_claims_it(conn: AsyncConnection) -> None:
    assert not (await due_conditions.find_due_work(conn, NOW)).ready
    await tasks.add(conn, [task("fit", "ready")])
    assert (await due_conditions.find_due_work(conn, NOW)).ready
    assert await task_claims.claim_task(conn, "fit", "worker", NOW, 15.0)
    assert not (await due_conditions.find_due_work(conn, NOW)).ready


async def test_components_scale_while_a_live_revision_has_bounds_for_them(conn: AsyncConnection) -> None:
    assert not (await due_conditions.find_due_work(conn, NOW)).scaling
    scaling = {"digits": (ScalingBounds(0, 4, 8.0, 300.0), ScaleState(1))}
    await autoscaling.replace_app_scales(conn, "leaf", scaling)
    assert (await due_conditions.find_due_work(conn, NOW)).scaling
    await autoscaling.replace_app_scales(conn, "leaf", {})
    assert not (await due_conditions.find_due_work(conn, NOW)).scaling


async def test_a_delivery_is_open_until_it_was_sent_also_while_it_waits_for_its_next_try(
    conn: AsyncConnection,
) -> None:
    assert not await callbacks.has_open(conn)
    later = Delivery(id="d", run="r", event="succeeded", body="{}", created_at=NOW, next_at=NOW + 300.0)
    await callbacks.add_delivery(conn, later)
    assert await callbacks.has_open(conn)
    await conn.execute(update(tables.deliveries).values(state="delivered"))
    assert not await callbacks.has_open(conn)
