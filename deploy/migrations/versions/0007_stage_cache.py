"""Outputs of stages by what they were made of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from libs.common.db import Json

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "scheduler_cache",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.Column("stage", sa.String(length=63), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("outputs", Json, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("app", "key"),
    )
    op.create_index("scheduler_cache_run", "scheduler_cache", ["run"])
    op.create_table(
        "scheduler_reuses",
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("source", "run"),
    )
    op.create_index("scheduler_reuses_run", "scheduler_reuses", ["run"])
