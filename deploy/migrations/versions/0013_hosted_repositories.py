"""A Repository without a url is the app's built-in one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

COMMENT = "null: the built-in repository"


def upgrade() -> None:
    with op.batch_alter_table("registry_repositories") as table:
        table.alter_column("url", existing_type=sa.Text(), nullable=True, comment=COMMENT)


def downgrade() -> None:
    """Apps with a built-in repository stay, without a Repository."""
    op.execute("DELETE FROM registry_repositories WHERE url IS NULL")
    with op.batch_alter_table("registry_repositories") as table:
        table.alter_column("url", existing_type=sa.Text(), nullable=False, comment=None, existing_comment=COMMENT)
