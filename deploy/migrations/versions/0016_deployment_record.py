"""Who caused a deployment, and the app whose deployment a promotion repeats."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

TABLE = "registry_deployments"
REPEATED = {
    "new": "the deployment that a rollback or a promotion repeats, with its exact images",
    "old": "the deployment that a rollback wants, with its exact images",
}


def columns() -> list[sa.Column[str]]:
    """Made anew for each use."""
    return [
        sa.Column("caused_by", sa.Text, comment="such as: token ci, webhook of Gitea, poll"),
        sa.Column("promoted_from", sa.String(length=63), comment="the app of rollback_to, when it is another one"),
    ]


def upgrade() -> None:
    """SQLite commits each statement: after a crash, the next try skips what is there already."""
    for column in columns():
        if not has_column(column.name):
            op.add_column(TABLE, column)
    set_comment("new", "old")


def downgrade() -> None:
    """A promotion is a rollback for the release before, which does not know its trigger."""
    op.execute("UPDATE registry_deployments SET trigger = 'rollback' WHERE trigger = 'promotion'")
    for column in columns():
        if has_column(column.name):
            op.drop_column(TABLE, column.name)
    set_comment("old", "new")


def set_comment(comment: str, existing: str) -> None:
    """SQLite keeps none."""
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column(
            TABLE,
            "rollback_to",
            existing_type=sa.String(length=32),
            existing_nullable=True,
            comment=REPEATED[comment],
            existing_comment=REPEATED[existing],
        )


def has_column(name: str) -> bool:
    """With a new inspector: one remembers what it has read."""
    return any(column["name"] == name for column in sa.inspect(op.get_bind()).get_columns(TABLE))
