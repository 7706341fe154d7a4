"""Indexes of few rows leave out the many that have nothing in the column."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

INDEXES = (
    ("scheduler_runs_chain", "scheduler_runs", ["chain", "position"], "chain", True),
    ("scheduler_tasks_worker", "scheduler_tasks", ["worker", "state"], "worker", False),
    ("scheduler_tasks_rung", "scheduler_tasks", ["state", "resource_class", "rung_at"], "rung_at", False),
)


def upgrade() -> None:
    for name, table, columns, has, unique in INDEXES:
        some = sa.text(f"{has} IS NOT NULL")
        op.drop_index(name, table)
        op.create_index(name, table, columns, unique=unique, postgresql_where=some, sqlite_where=some)
