"""The migration 0012 keeps what was delivered; the way back drops what was refused. On both databases."""

from __future__ import annotations

import sqlite3
from typing import Any

from alembic import command
from sqlalchemy import Connection, text

from deploy.migrations import config, upgrade
from tests.deploy.test_plain_names import on_database

BEFORE = "0011"
APP = """
    INSERT INTO registry_apps (name, title, description, module_kind, owners, created_at)
    VALUES ('leaf', 'Leaf', '', 'base', '[]', 1.0)
"""
DELIVERY = "INSERT INTO registry_deliveries (app, id, deployment, received_at) VALUES ('leaf', 'one', 'd1', 5.0)"
REFUSED = """
    INSERT INTO registry_deliveries (app, id, received_at, status, failed_check) VALUES ('leaf', 'r1', 6.0, 401, 'rate')
"""


def execute(url: str, *statements: str) -> None:
    def run(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement))

    on_database(url, run)


def read_rows(url: str) -> Any:
    query = text("SELECT * FROM registry_deliveries ORDER BY id")
    return on_database(url, lambda connection: [dict(row) for row in connection.execute(query).mappings()])


def test_a_delivery_of_before_counts_as_accepted(database_url: str) -> None:
    command.upgrade(config(database_url), BEFORE)
    execute(database_url, APP, DELIVERY)
    before = read_rows(database_url)
    upgrade(database_url)
    (row,) = read_rows(database_url)
    assert (row["id"], row["deployment"], row["status"], row["failed_check"]) == ("one", "d1", 202, None)
    execute(database_url, REFUSED)
    command.downgrade(config(database_url), BEFORE)
    assert read_rows(database_url) == before


def test_a_migration_that_was_interrupted_goes_on(sqlite_url: str) -> None:
    """SQLite commits each statement by itself."""
    command.upgrade(config(sqlite_url), BEFORE)
    execute(sqlite_url, APP, DELIVERY)
    with sqlite3.connect(sqlite_url.removeprefix("sqlite+aiosqlite:///")) as connection:
        connection.execute("ALTER TABLE registry_deliveries ADD COLUMN status INTEGER DEFAULT 202 NOT NULL")
        connection.execute("ALTER TABLE registry_deliveries ADD COLUMN forge VARCHAR(32)")
    connection.close()
    upgrade(sqlite_url)
    (row,) = read_rows(sqlite_url)
    assert (row["status"], row["ref"]) == (202, None)
    command.downgrade(config(sqlite_url), BEFORE)
    upgrade(sqlite_url)
    assert len(read_rows(sqlite_url)) == 1
