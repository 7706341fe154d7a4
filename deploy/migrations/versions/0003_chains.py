"""Runs that continue one another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("scheduler_runs", sa.Column("chain", sa.String(length=40), nullable=True))
    op.add_column("scheduler_runs", sa.Column("position", sa.Integer(), nullable=True))
    op.create_index("scheduler_runs_chain", "scheduler_runs", ["chain", "position"], unique=True)
