"""What forges are told of each commit, and which tags a Repository follows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

TABLE = "registry_commit_statuses"
REPOSITORIES = "registry_repositories"


def upgrade() -> None:
    """SQLite commits each statement: after a crash, the next try adds what is missing."""
    present = list_columns()
    for column in make_columns():
        if column.name not in present:
            op.add_column(REPOSITORIES, column)
    op.create_table(TABLE, *make_table(), if_not_exists=True)


def downgrade() -> None:
    """A Repository that follows tags goes: the release before would follow its branch."""
    op.drop_table(TABLE, if_exists=True)
    present = list_columns()
    if "tags" in present:
        op.execute(f"DELETE FROM {REPOSITORIES} WHERE tags IS NOT NULL")  # noqa: S608  a constant
    for column in make_columns():
        if column.name in present:
            op.drop_column(REPOSITORIES, column.name)


def list_columns() -> set[str]:
    """With a new inspector: one remembers what it has read."""
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(REPOSITORIES)}


def make_columns() -> list[sa.Column[Any]]:
    """Made anew for each use."""
    forge = "as its manifest says; when null, by the host or the first verified delivery"
    token = "the Secret with the token for commit statuses; else credentials"  # noqa: S105  a comment
    refused = "name and version of the Secret whose token the forge refused"
    return [
        sa.Column("tags", sa.Text(), comment="the newest tag that matches is followed; when null, the branch"),
        sa.Column("forge", sa.String(16), comment=forge),
        sa.Column("delivery_forge", sa.String(16), comment="the forge that sent the first verified delivery"),
        sa.Column("status_credentials", sa.String(63), comment=token),
        sa.Column("sends_statuses", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("status_error", sa.Text(), comment="why the last commit status was not delivered"),
        sa.Column("refused_secret", sa.String(80), comment=refused),
    ]


def make_table() -> list[sa.Column[Any]]:
    counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    app = sa.ForeignKey("registry_apps.name", ondelete="CASCADE")
    return [
        sa.Column("app", sa.String(63), app, primary_key=True),
        sa.Column("commit_id", sa.String(64), primary_key=True),
        sa.Column("deployment", sa.String(32), nullable=False),
        sa.Column("seq", counter, nullable=False, comment="of the deployment: an older one changes nothing"),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="grows with every change"),
        sa.Column("sent_version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("sent_at", sa.Double(), nullable=False, comment="of the last try; 0 before it"),
        sa.Column("next_at", sa.Double(), nullable=False, comment="not before this time"),
        sa.Column("claimed_until", sa.Double(), nullable=False, comment="a replica sends it"),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.Double()),
    ]
