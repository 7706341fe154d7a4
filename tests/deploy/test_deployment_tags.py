"""The migration 0019: the tag of a deployment; rows of before have none, and keep everything on the way back."""

from __future__ import annotations

from alembic import command
from sqlalchemy import Connection, inspect, text

from deploy.migrations import config, upgrade
from tests.deploy.test_deployment_record import insert_deployments, read_triggers
from tests.deploy.test_plain_names import on_database

BEFORE = "0018"


def has_tag(connection: Connection) -> bool:
    return "tag" in {column["name"] for column in inspect(connection).get_columns("registry_deployments")}


def test_deployments_of_before_have_no_tag_and_stay_on_the_way_back(database_url: str) -> None:
    command.upgrade(config(database_url), BEFORE)
    on_database(database_url, insert_deployments)
    upgrade(database_url)
    tags = text("SELECT tag FROM registry_deployments")
    assert on_database(database_url, lambda connection: list(connection.execute(tags).scalars())) == [None, None]
    command.downgrade(config(database_url), BEFORE)
    assert not on_database(database_url, has_tag)
    assert on_database(database_url, read_triggers) == ["push", "promotion"]


def test_a_migration_that_was_interrupted_goes_on(sqlite_url: str) -> None:
    """SQLite commits each statement by itself."""
    command.upgrade(config(sqlite_url), BEFORE)
    statement = text("ALTER TABLE registry_deployments ADD tag TEXT")
    on_database(sqlite_url, lambda connection: connection.execute(statement))
    upgrade(sqlite_url)
    assert on_database(sqlite_url, has_tag)
