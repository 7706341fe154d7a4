"""What a webhook delivery was and how it was answered. Rows of before count as accepted."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

TABLE = "registry_deliveries"
INDEX = "registry_deliveries_by_app"


def upgrade() -> None:
    """SQLite commits each statement: after a crash, the next try adds what is missing."""
    present = column_names()
    for column in make_columns():
        if column.name not in present:
            op.add_column(TABLE, column)
    op.create_index(INDEX, TABLE, ["app", "received_at"], if_not_exists=True)


def downgrade() -> None:
    """The release before takes every row as handled: refused deliveries go."""
    present = column_names()
    if "status" in present:
        op.execute(f"DELETE FROM {TABLE} WHERE status >= 400")  # noqa: S608  a constant
    op.drop_index(INDEX, TABLE, if_exists=True)
    for column in make_columns():
        if column.name in present:
            op.drop_column(TABLE, column.name)


def column_names() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(TABLE)}


def make_columns() -> list[sa.Column[Any]]:
    status = "of the answer; refused from 400 on"
    return [
        sa.Column("status", sa.Integer(), nullable=False, server_default="202", comment=status),
        sa.Column("forge", sa.String(32)),
        sa.Column("event", sa.String(64)),
        sa.Column("ref", sa.String(255)),
        sa.Column("forge_id", sa.String(200), comment="as the sender claims, also when it was refused"),
        sa.Column("failed_check", sa.String(64)),
        sa.Column("detail", sa.Text(), comment="why it was refused"),
    ]
