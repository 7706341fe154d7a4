"""Runs of an app by status and by when they must end, tasks by their doorbells."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("scheduler_runs", sa.Column("deadline", sa.Double(), nullable=False, server_default="0"))
    op.drop_index("scheduler_runs_status", "scheduler_runs")
    op.create_index("scheduler_runs_status", "scheduler_runs", ["status", "deadline"])
    op.create_index("scheduler_runs_waiting", "scheduler_runs", ["app", "status"])
    op.create_index("scheduler_tasks_rung", "scheduler_tasks", ["state", "rung_at"])
