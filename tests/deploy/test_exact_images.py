"""The migration 0014 adds columns, and on its way back takes away tasks that the release before does not know."""

from __future__ import annotations

from typing import Any

from alembic import command
from sqlalchemy import Connection, inspect, text

from deploy.migrations import config, downgrade, upgrade
from tests.deploy.test_plain_names import on_database

ADDED = {"scheduler_rollouts": "images", "scheduler_workers": "kinds", "registry_deployments": "rollback_to"}
TASK = (
    "INSERT INTO scheduler_tasks (id, kind, app, name, replica, fingerprint, resource_class, priority, state, spec, "
    "attempt, lost_count, failures, token, stop_requested, created_at) VALUES "
    "(:id, :kind, 'leaf', 'n', 0, '', 'cpu', 0, 'claimed', '{}', 1, 0, 0, 1, :stop, 1.0)"
)
ATTEMPT = "INSERT INTO scheduler_attempts (task, token, attempt, worker, started_at) VALUES (:id, 1, 1, 'w', 1.0)"


def insert_tasks(connection: Connection) -> None:
    for task_id, kind in (("m_1", "image"), ("t_1", "stage"), ("i_1", "instance")):
        connection.execute(text(TASK), {"id": task_id, "kind": kind, "stop": False})
        connection.execute(text(ATTEMPT), {"id": task_id})


def read_tasks(connection: Connection) -> tuple[list[Any], list[Any]]:
    tasks = connection.execute(text("SELECT id FROM scheduler_tasks ORDER BY id")).scalars()
    attempts = connection.execute(text("SELECT task FROM scheduler_attempts ORDER BY task")).scalars()
    return list(tasks), list(attempts)


def read_columns(connection: Connection) -> dict[str, bool]:
    inspector = inspect(connection)
    return {
        table: column in {found["name"] for found in inspector.get_columns(table)} for table, column in ADDED.items()
    }


def test_the_way_back_leaves_no_task_that_the_release_before_does_not_know(database_url: str) -> None:
    upgrade(database_url)
    assert set(on_database(database_url, read_columns).values()) == {True}
    on_database(database_url, insert_tasks)
    command.downgrade(config(database_url), "0013")
    assert on_database(database_url, read_tasks) == (["i_1", "t_1"], ["i_1", "t_1"])
    assert set(on_database(database_url, read_columns).values()) == {False}
    downgrade(database_url)
    upgrade(database_url)
    assert set(on_database(database_url, read_columns).values()) == {True}


def test_a_migration_that_was_interrupted_goes_on(sqlite_url: str) -> None:
    """SQLite commits each statement by itself."""
    command.upgrade(config(sqlite_url), "0013")
    on_database(sqlite_url, lambda connection: connection.execute(text("ALTER TABLE scheduler_workers ADD kinds JSON")))
    upgrade(sqlite_url)
    assert set(on_database(sqlite_url, read_columns).values()) == {True}
