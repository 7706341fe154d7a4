"""Which errors a forge was told to show at their lines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

TABLE, COLUMN = "registry_commit_statuses", "annotated"
COMMENT = "of the errors that the forge was told to show at their lines"


def upgrade() -> None:
    """SQLite commits each statement: after a crash, the next try skips what is there already."""
    if not has_column():
        op.add_column(TABLE, sa.Column(COLUMN, sa.String(64), comment=COMMENT))


def downgrade() -> None:
    if has_column():
        op.drop_column(TABLE, COLUMN)


def has_column() -> bool:
    return any(column["name"] == COLUMN for column in sa.inspect(op.get_bind()).get_columns(TABLE))
