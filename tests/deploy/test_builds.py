"""The migration 0017 adds what builds need, and on its way back takes away their tasks."""

from __future__ import annotations

from alembic import command
from sqlalchemy import Connection, inspect, text

from deploy.migrations import config, upgrade
from tests.deploy.test_exact_images import ATTEMPT, TASK, read_tasks
from tests.deploy.test_plain_names import on_database

ADDED = {"scheduler_rollouts": "builds", "scheduler_tasks": "image", "scheduler_workers": "engine"}


def insert_tasks(connection: Connection) -> None:
    for task_id, kind in (("m_1", "image"), ("m_2", "build")):
        connection.execute(text(TASK), {"id": task_id, "kind": kind, "stop": False})
        connection.execute(text(ATTEMPT), {"id": task_id})


def read_additions(connection: Connection) -> set[bool]:
    inspector = inspect(connection)
    columns = {column in {found["name"] for found in inspector.get_columns(table)} for table, column in ADDED.items()}
    return columns | {inspector.has_table("scheduler_images")}


def test_the_way_back_leaves_no_build(database_url: str) -> None:
    upgrade(database_url)
    assert on_database(database_url, read_additions) == {True}
    on_database(database_url, insert_tasks)
    command.downgrade(config(database_url), "0016")
    assert on_database(database_url, read_tasks) == (["m_1"], ["m_1"])
    assert on_database(database_url, read_additions) == {False}
    upgrade(database_url)
    assert on_database(database_url, read_additions) == {True}


def test_a_migration_that_was_interrupted_goes_on(sqlite_url: str) -> None:
    """SQLite commits each statement by itself."""
    command.upgrade(config(sqlite_url), "0016")
    on_database(
        sqlite_url, lambda connection: connection.execute(text("ALTER TABLE scheduler_rollouts ADD builds JSON"))
    )
    upgrade(sqlite_url)
    assert on_database(sqlite_url, read_additions) == {True}
