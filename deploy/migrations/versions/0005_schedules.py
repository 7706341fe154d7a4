"""Pipelines that start by themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from libs.common.db import Json

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "scheduler_schedules",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("pipeline", sa.String(length=63), nullable=False),
        sa.Column("spec", Json, nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=True),
        sa.Column("last_at", sa.Double(), nullable=True),
        sa.Column("last_run", sa.String(length=40), nullable=True),
        sa.Column("problem", sa.String(length=1000), nullable=True),
        sa.PrimaryKeyConstraint("app", "pipeline"),
    )
    op.create_index("scheduler_schedules_due", "scheduler_schedules", ["next_at"])
