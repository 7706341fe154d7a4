"""The migration 0015 keeps repositories on both ways, but not one that the release before would follow wrongly."""

from __future__ import annotations

from typing import Any

from alembic import command
from sqlalchemy import Connection, inspect, text

from deploy.migrations import config, upgrade
from tests.deploy.test_delivery_log import APP, execute
from tests.deploy.test_plain_names import on_database

BEFORE = "0014"
REPOSITORY = (
    "INSERT INTO registry_repositories (app, name, url, branch, path, poll_interval, polled_at) "
    "VALUES ('leaf', 'leaf', 'https://git.example/ann/leaf', 'main', 'manifests', 30.0, 1.0)"
)
STATUS = (
    "INSERT INTO registry_commit_statuses (app, commit_id, deployment, seq, state, description, version, sent_version, "
    "changed_at, sent_at, next_at, claimed_until, tries) VALUES "
    "('leaf', 'c1', 'd1', 1, 'pending', 'checking', 1, 0, 1.0, 0, 1.0, 0, 0)"
)


def read_repositories(connection: Connection) -> list[Any]:
    return [dict(row) for row in connection.execute(text("SELECT * FROM registry_repositories")).mappings()]


def list_tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def test_repositories_of_before_send_statuses_and_follow_their_branch(database_url: str) -> None:
    command.upgrade(config(database_url), BEFORE)
    execute(database_url, APP, REPOSITORY)
    before = on_database(database_url, read_repositories)
    upgrade(database_url)
    (row,) = on_database(database_url, read_repositories)
    assert (row["tags"], row["forge"], bool(row["sends_statuses"])) == (None, None, True)
    execute(database_url, STATUS)
    command.downgrade(config(database_url), BEFORE)
    assert on_database(database_url, read_repositories) == before
    assert "registry_commit_statuses" not in on_database(database_url, list_tables)


def test_a_repository_that_follows_tags_goes_on_the_way_back(database_url: str) -> None:
    upgrade(database_url)
    execute(database_url, APP, REPOSITORY, "UPDATE registry_repositories SET tags = 'v*'")
    command.downgrade(config(database_url), BEFORE)
    assert on_database(database_url, read_repositories) == []


def test_a_migration_that_was_interrupted_goes_on(sqlite_url: str) -> None:
    """SQLite commits each statement by itself."""
    command.upgrade(config(sqlite_url), BEFORE)
    execute(sqlite_url, APP, REPOSITORY, "ALTER TABLE registry_repositories ADD COLUMN tags TEXT")
    upgrade(sqlite_url)
    (row,) = on_database(sqlite_url, read_repositories)
    assert (row["tags"], bool(row["sends_statuses"])) == (None, True)
    command.downgrade(config(sqlite_url), BEFORE)
    upgrade(sqlite_url)
    assert "registry_commit_statuses" in on_database(sqlite_url, list_tables)
