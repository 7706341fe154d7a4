"""Where runs were that are gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from libs.common.db import Json

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "scheduler_marks",
        sa.Column("run", sa.String(length=40), primary_key=True),
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("left", Json, nullable=True),
    )
    op.create_index("scheduler_marks_at", "scheduler_marks", ["at"])
