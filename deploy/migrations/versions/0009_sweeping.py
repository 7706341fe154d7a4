"""When what an attempt that was not accepted may have left in the store is removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("scheduler_attempts", sa.Column("sweep_at", sa.Double()))
    op.create_index("scheduler_attempts_sweep", "scheduler_attempts", ["sweep_at"])
