"""Which tag a deployment runs, of an app that follows tags."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

TABLE, COLUMN = "registry_deployments", "tag"
COMMENT = "the newest one that matched, when tags are followed"


def upgrade() -> None:
    """SQLite commits each statement: after a crash, the next try skips what is there already."""
    if not has_column():
        op.add_column(TABLE, sa.Column(COLUMN, sa.Text, comment=COMMENT))


def downgrade() -> None:
    if has_column():
        op.drop_column(TABLE, COLUMN)


def has_column() -> bool:
    return any(column["name"] == COLUMN for column in sa.inspect(op.get_bind()).get_columns(TABLE))
