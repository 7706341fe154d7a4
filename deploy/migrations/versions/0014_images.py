"""The exact images of rollouts, the kinds of tasks that workers take, and the deployment that a rollback repeats."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from libs.common.db import Json

revision = "0014"
down_revision = "0013"

ROLLBACK = "the deployment that a rollback wants, with its exact images"


def columns() -> dict[str, sa.Column[object]]:
    """By table; made anew for each use."""
    return {
        "scheduler_rollouts": sa.Column("images", Json),
        "scheduler_workers": sa.Column("kinds", Json),
        "registry_deployments": sa.Column("rollback_to", sa.String(length=32), comment=ROLLBACK),
    }


def upgrade() -> None:
    """SQLite commits each statement: after a crash, the next try skips what is there already."""
    for table, column in columns().items():
        if not has_column(table, column.name):
            op.add_column(table, column)


def downgrade() -> None:
    """The release before does not know tasks of kind `image`; its rollouts go on without them."""
    op.execute("DELETE FROM scheduler_attempts WHERE task IN (SELECT id FROM scheduler_tasks WHERE kind = 'image')")
    op.execute("DELETE FROM scheduler_tasks WHERE kind = 'image'")
    for table, column in columns().items():
        if has_column(table, column.name):
            op.drop_column(table, column.name)


def has_column(table: str, name: str) -> bool:
    """With a new inspector: one remembers what it has read."""
    return any(column["name"] == name for column in sa.inspect(op.get_bind()).get_columns(table))
