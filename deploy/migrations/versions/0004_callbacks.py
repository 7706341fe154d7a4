"""Callbacks of runs, and the log of their deliveries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from libs.common.db import Json

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "scheduler_callbacks",
        sa.Column("run", sa.String(length=40), primary_key=True),
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("spec", Json, nullable=False),
        sa.Column("told", Json, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
    )
    op.create_index("scheduler_callbacks_open", "scheduler_callbacks", ["open"])
    op.create_table(
        "scheduler_deliveries",
        sa.Column("id", sa.String(length=40), primary_key=True),
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("tries", Json, nullable=False),
        sa.Column("next_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
    )
    op.create_index("scheduler_deliveries_due", "scheduler_deliveries", ["state", "next_at"])
    op.create_index("scheduler_deliveries_run", "scheduler_deliveries", ["run"])
