"""The migration 0016: who caused a deployment; on its way back a promotion becomes what the release before knows."""

from __future__ import annotations

from typing import Any

from alembic import command
from sqlalchemy import Connection, inspect, text

from deploy.migrations import config, downgrade, upgrade
from tests.deploy.test_plain_names import on_database

ADDED = {"caused_by", "promoted_from"}
APP = (
    "INSERT INTO registry_apps (name, title, description, module_kind, owners, created_at) "
    "VALUES ('leaf', '', '', 'base', '[]', 1.0)"
)
DEPLOYMENT = (
    "INSERT INTO registry_deployments (id, app, trigger, status, errors, warnings, reported_warnings, created_at) "
    "VALUES (:id, 'leaf', :trigger, 'live', '[]', '[]', '[]', 1.0)"
)


def insert_deployments(connection: Connection) -> None:
    connection.execute(text(APP))
    for number, trigger in enumerate(("push", "promotion")):
        connection.execute(text(DEPLOYMENT), {"id": f"d{number}", "trigger": trigger})


def read_triggers(connection: Connection) -> list[Any]:
    return list(connection.execute(text("SELECT trigger FROM registry_deployments ORDER BY id")).scalars())


def read_added(connection: Connection) -> set[str]:
    return ADDED & {column["name"] for column in inspect(connection).get_columns("registry_deployments")}


def test_the_release_before_finds_a_rollback_where_a_promotion_was(database_url: str) -> None:
    upgrade(database_url)
    assert on_database(database_url, read_added) == ADDED
    on_database(database_url, insert_deployments)
    command.downgrade(config(database_url), "0015")
    assert on_database(database_url, read_triggers) == ["push", "rollback"]
    assert on_database(database_url, read_added) == set()
    downgrade(database_url)
    upgrade(database_url)
    assert on_database(database_url, read_added) == ADDED


def test_a_migration_that_was_interrupted_goes_on(sqlite_url: str) -> None:
    """SQLite commits each statement by itself."""
    command.upgrade(config(sqlite_url), "0015")
    statement = text("ALTER TABLE registry_deployments ADD caused_by TEXT")
    on_database(sqlite_url, lambda connection: connection.execute(statement))
    upgrade(sqlite_url)
    assert on_database(sqlite_url, read_added) == ADDED
