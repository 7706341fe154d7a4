"""The outbox of commit statuses: what is due when, and what replaces what. Times are given, none passes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db import Database
from services.registry.apps import App, Repository
from services.registry.db import apps, commit_statuses
from services.registry.db.commit_statuses import CLAIM_S, MIN_STEP_S, RETENTION_S, OutgoingStatus
from services.registry.db.tables import deployments, steps
from services.registry.deployments.commit_status import Progress
from tests.registry.conftest import make_tables

COMMIT, OTHER = "1" * 40, "2" * 40
REPOSITORY = Repository("leaf", "leaf", "https://git.example/ann/leaf", "main", "manifests", "login", 30.0, None)


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[AsyncConnection]:
    """Of an app with a deployment `d1` of COMMIT, of which nothing was told yet."""
    await make_tables(database_url)
    database = Database(database_url)
    async with database.write() as connection:
        await apps.add(connection, App("leaf", "Leaf"), 1.0)
        await apps.put_repository(connection, REPOSITORY)
        await add_deployment(connection, "d1", COMMIT)
        yield connection
    await database.close()


async def add_deployment(conn: AsyncConnection, identity: str, commit: str) -> None:
    values: dict[str, object] = {
        "id": identity,
        "app": "leaf",
        "trigger": "push",
        "status": "pending",
        "commit_id": commit,
    }
    values |= {"errors": [], "warnings": [], "reported_warnings": [], "created_at": 0.0}
    await conn.execute(insert(deployments).values(**values))
    rows: list[dict[str, object]] = [
        {"deployment": identity, "reporter": "registry", "position": position, "name": name, "status": "succeeded"}
        for position, name in enumerate(("fetch", "validate"))
    ]
    await conn.execute(insert(steps), rows)


async def change(
    conn: AsyncConnection, status: str, now: float, deployment: str = "d1", progress: Progress | None = None
) -> None:
    columns = {"status": status, "live_at": now if status == "live" else None}
    await conn.execute(update(deployments).where(deployments.c.id == deployment).values(**columns))
    await commit_statuses.record(conn, "leaf", deployment, now, progress)


async def claim(conn: AsyncConnection, now: float) -> OutgoingStatus | None:
    return await commit_statuses.claim(conn, "leaf", now)


async def send(conn: AsyncConnection, now: float) -> str | None:
    """The description of what is due, which the forge takes."""
    if (status := await claim(conn, now)) is None:
        return None
    await commit_statuses.finish(conn, status)
    return status.description


async def test_a_change_is_sent_once(conn: AsyncConnection) -> None:
    await change(conn, "pending", 10.0)
    await change(conn, "pending", 10.5)
    assert await commit_statuses.list_due_apps(conn, 10.5) == {"leaf": False}
    assert (await send(conn, 10.5), await send(conn, 99.0)) == ("checking", None)
    assert await commit_statuses.seconds_until_due(conn) is None


async def test_steps_are_apart_and_an_end_is_sent_at_once(conn: AsyncConnection) -> None:
    await change(conn, "pending", 10.0)
    assert await send(conn, 10.0) == "checking"
    await change(conn, "starting", 10.1)
    await change(conn, "starting", 10.2, progress=Progress(1, 2))
    assert await send(conn, 10.0 + MIN_STEP_S - 0.1) is None
    assert await send(conn, 10.0 + MIN_STEP_S) == "starting: 1 of 2"
    await change(conn, "starting", 12.1, progress=Progress(2, 2))
    await change(conn, "live", 12.3)
    assert (await send(conn, 12.3), await send(conn, 99.0)) == ("live in 12.3 s", None)


async def test_what_changes_while_a_status_is_on_its_way_is_sent_behind_it(conn: AsyncConnection) -> None:
    await change(conn, "pending", 10.0)
    first = await claim(conn, 10.0)
    assert first is not None
    await change(conn, "live", 10.1)
    assert await claim(conn, 10.1) is None
    await commit_statuses.finish(conn, first)
    assert (await send(conn, 10.2), await send(conn, 99.0)) == ("live in 10.1 s", None)


async def test_a_status_of_a_replica_that_stopped_is_sent_by_another(conn: AsyncConnection) -> None:
    await change(conn, "pending", 10.0)
    first = await claim(conn, 10.0)
    assert await claim(conn, 10.0 + CLAIM_S - 0.1) is None
    assert await claim(conn, 10.0 + CLAIM_S) == first


async def test_a_forge_that_failed_is_not_asked_earlier_because_of_a_change(conn: AsyncConnection) -> None:
    await change(conn, "pending", 10.0)
    first = await claim(conn, 10.0)
    assert first is not None
    await commit_statuses.retry_at(conn, first, 70.0, failing_since=10.0)
    await change(conn, "live", 20.0)
    assert await claim(conn, 69.9) is None
    second = await claim(conn, 70.0)
    assert second is not None
    assert (second.description, second.tries, second.failing_since) == ("live in 20.0 s", 1, 10.0)
    await commit_statuses.finish(conn, second)
    await change(conn, "failed", 71.0)
    third = await claim(conn, 71.0)
    assert third is not None
    assert (third.tries, third.failing_since) == (0, None)


async def test_a_forge_that_failed_gets_nothing_of_what_waits_for_it_earlier(conn: AsyncConnection) -> None:
    await change(conn, "live", 10.0)
    await add_deployment(conn, "d2", OTHER)
    await change(conn, "live", 11.0, "d2")
    first = await claim(conn, 12.0)
    assert first is not None
    await commit_statuses.retry_at(conn, first, 70.0, failing_since=12.0)
    assert await claim(conn, 69.9) is None
    assert await commit_statuses.list_due_apps(conn, 70.0) == {"leaf": True}
    tried = [await claim(conn, 70.0), await claim(conn, 70.0)]
    assert [(status.commit_id, status.tries, status.failing_since) for status in tried if status] == [
        (COMMIT, 1, 12.0), (OTHER, 1, 12.0)
    ]  # fmt: skip


async def test_what_a_forge_has_not_taken_for_long_is_given_up_together(conn: AsyncConnection) -> None:
    await change(conn, "live", 10.0)
    await add_deployment(conn, "d2", OTHER)
    await change(conn, "live", 11.0, "d2")
    first = await claim(conn, 12.0)
    assert first is not None
    await commit_statuses.retry_at(conn, first, 70.0, failing_since=12.0)
    await commit_statuses.give_up(conn, "leaf", 11.9)
    assert await commit_statuses.list_due_apps(conn, 70.0) == {"leaf": True}
    await commit_statuses.give_up(conn, "leaf", 12.0)
    assert await commit_statuses.list_due_apps(conn, 70.0) == {}


async def test_a_deployment_that_was_overtaken_is_told_as_such(conn: AsyncConnection) -> None:
    await change(conn, "starting", 10.0)
    assert await send(conn, 10.0) == "starting"
    await add_deployment(conn, "d2", OTHER)
    await conn.execute(update(deployments).where(deployments.c.id == "d1").values(status="superseded"))
    await change(conn, "live", 11.0, "d2")
    sent = [await claim(conn, 11.0), await claim(conn, 11.0)]
    assert [(status.commit_id, status.state) for status in sent if status] == [(OTHER, "success"), (COMMIT, "canceled")]


async def test_of_two_deployments_of_a_commit_the_newer_one_counts(conn: AsyncConnection) -> None:
    await change(conn, "starting", 10.0)
    await add_deployment(conn, "d2", COMMIT)
    await change(conn, "live", 11.0, "d2")
    await change(conn, "failed", 12.0)
    status = await claim(conn, 12.0)
    assert status is not None
    assert (status.deployment, status.state) == ("d2", "success")


async def test_old_rows_are_removed_when_a_new_commit_comes(conn: AsyncConnection) -> None:
    await change(conn, "live", 10.0)
    await add_deployment(conn, "d2", OTHER)
    await change(conn, "live", 11.0 + RETENTION_S, "d2")
    assert [await send(conn, 1e9), await send(conn, 1e9)] == [f"live in {11.0 + RETENTION_S:.1f} s", None]


async def test_without_a_secret_nothing_is_written(conn: AsyncConnection) -> None:
    await apps.put_repository(
        conn, Repository("leaf", "leaf", "https://git.example/ann/leaf", "main", "manifests", None, 30.0, None)
    )
    await change(conn, "live", 10.0)
    assert await claim(conn, 1e9) is None
