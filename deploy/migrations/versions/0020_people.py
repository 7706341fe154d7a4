"""People: accounts, sessions, one-time links, and members of apps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from libs.common.db import Json

revision = "0020"
down_revision = "0019"

USERS, SESSIONS, LINKS, MEMBERS = "registry_users", "registry_sessions", "registry_links", "registry_members"


def upgrade() -> None:
    """SQLite commits each statement: after a crash, the next try adds what is missing."""
    for name, columns in make_tables().items():
        op.create_table(name, *columns, if_not_exists=True)
    op.create_index("ix_registry_sessions_user", SESSIONS, ["user"], if_not_exists=True)


def downgrade() -> None:
    """Accounts go: the release before knows operators' tokens and API keys alone."""
    for name in (MEMBERS, LINKS, SESSIONS, USERS):
        op.drop_table(name, if_exists=True)


def make_tables() -> Mapping[str, list[sa.Column[Any]]]:
    """Made anew for each use."""
    hashed = "argon2id; null: signs in with a provider or by a link"
    limits = "what a personal token is limited to; null: all that its person may"
    return {
        USERS: [
            sa.Column("name", sa.String(64), primary_key=True),
            sa.Column("password_hash", sa.Text(), comment=hashed),
            sa.Column("is_administrator", sa.Boolean(), nullable=False),
            sa.Column("disabled_at", sa.Double(), comment="since when the account may not be used"),
            sa.Column("language", sa.String(8)),
            sa.Column("theme", sa.String(8)),
            sa.Column("created_at", sa.Double(), nullable=False),
            sa.Column("created_by", sa.Text(), nullable=False),
        ],
        SESSIONS: [
            sa.Column("id", sa.String(32), primary_key=True),
            make_user_column(),
            sa.Column("hash", sa.String(64), nullable=False, unique=True),
            sa.Column("kind", sa.String(8), nullable=False, comment="session of a browser, or token of a person"),
            sa.Column("name", sa.String(64), comment="of a personal token"),
            sa.Column("scopes", Json, comment=limits),
            sa.Column("groups", Json, nullable=False, comment="of the provider, when the session began"),
            sa.Column("created_at", sa.Double(), nullable=False),
            sa.Column("used_at", sa.Double(), nullable=False),
            sa.Column("expires_at", sa.Double(), comment="null: never"),
        ],
        LINKS: [
            sa.Column("hash", sa.String(64), primary_key=True),
            sa.Column("kind", sa.String(16), nullable=False, comment="invitation or sign-in; deleted when it is used"),
            make_user_column(),
            sa.Column("created_by", sa.Text(), nullable=False),
            sa.Column("expires_at", sa.Double(), nullable=False),
        ],
        MEMBERS: [
            sa.Column("app", sa.String(63), sa.ForeignKey("registry_apps.name", ondelete="CASCADE"), primary_key=True),
            sa.Column("kind", sa.String(8), primary_key=True, comment="user or group"),
            sa.Column("name", sa.String(128), primary_key=True),
            sa.Column("role", sa.String(16), nullable=False),
            sa.Column("added_by", sa.Text(), nullable=False),
            sa.Column("added_at", sa.Double(), nullable=False),
        ],
    }


def make_user_column() -> sa.Column[str]:
    return sa.Column("user", sa.String(64), sa.ForeignKey("registry_users.name", ondelete="CASCADE"), nullable=False)
