"""How many instances of a component there should be, and the load that decides it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from libs.common.db import Json

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "scheduler_scales",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("component", sa.String(length=63), nullable=False),
        sa.Column("bounds", Json, nullable=False),
        sa.Column("replicas", sa.Integer(), nullable=False),
        sa.Column("enough", sa.Integer(), nullable=False),
        sa.Column("quiet_since", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("app", "component"),
    )
    op.create_table(
        "scheduler_loads",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("component", sa.String(length=63), nullable=False),
        sa.Column("gateway", sa.String(length=128), nullable=False),
        sa.Column("load", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("app", "component", "gateway"),
    )
