"""Images that workers build: their rows, the logs of a rollout's builds, and which engine has them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from libs.common.db import Json

revision = "0017"
down_revision = "0016"
TABLE, INDEX = "scheduler_images", "scheduler_images_image"


def columns() -> dict[str, sa.Column[object]]:
    """By table; made anew for each use."""
    return {
        "scheduler_rollouts": sa.Column("builds", Json),
        "scheduler_tasks": sa.Column("image", sa.String(80)),
        "scheduler_workers": sa.Column("engine", sa.String(128)),
    }


def upgrade() -> None:
    """SQLite commits each statement: after a crash, the next try skips what is there already."""
    for table, column in columns().items():
        if not has_column(table, column.name):
            op.add_column(table, column)
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table(TABLE):
        op.create_table(
            TABLE,
            sa.Column("app", sa.String(63), primary_key=True),
            sa.Column("key", sa.String(64), primary_key=True),
            sa.Column("engine", sa.String(128), primary_key=True),
            sa.Column("image", sa.String(600), nullable=False),
            sa.Column("log", sa.String(200), nullable=False),
            sa.Column("built_at", sa.Double, nullable=False),
            sa.Column("used_at", sa.Double, nullable=False),
        )
    op.create_index(INDEX, TABLE, ["image"], if_not_exists=True)


def downgrade() -> None:
    """The release before does not know tasks of kind `build`."""
    op.execute("DELETE FROM scheduler_attempts WHERE task IN (SELECT id FROM scheduler_tasks WHERE kind = 'build')")
    op.execute("DELETE FROM scheduler_tasks WHERE kind = 'build'")
    op.drop_table(TABLE, if_exists=True)
    for table, column in columns().items():
        if has_column(table, column.name):
            op.drop_column(table, column.name)


def has_column(table: str, name: str) -> bool:
    """With a new inspector: one remembers what it has read."""
    return any(column["name"] == name for column in sa.inspect(op.get_bind()).get_columns(table))
