"""Runs of an app by status."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("scheduler_runs_waiting", "scheduler_runs", ["app", "status"])
