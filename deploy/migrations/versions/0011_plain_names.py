"""Tables, columns and indexes get the names that the code uses. Nothing is rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

TABLES = {
    "scheduler_cache": "scheduler_stage_cache",
    "scheduler_loads": "scheduler_load_reports",
    "scheduler_marks": "scheduler_tombstones",
    "scheduler_reuses": "scheduler_cache_uses",
    "scheduler_scales": "scheduler_autoscaling",
    "scheduler_submissions": "scheduler_idempotency_keys",
}
COLUMNS = {
    "databox_boxes": {"changes": "version"},
    "databox_publications": {"fresh": "created_keys", "answer": "result"},
    "databox_reservations": {"before": "old_version"},
    "registry_deployments": {"cause": "trigger", "pinned": "pinned_commit"},
    "registry_removals": {"since": "removed_at"},
    "registry_repositories": {"webhook_sealed": "encrypted_webhook_secret", "abandoned": "abandoned_head"},
    "registry_revisions": {"passwords": "password_secrets"},
    "registry_secret_values": {"sealed": "ciphertext"},
    "scheduler_autoscaling": {"enough": "low_water_replicas", "quiet_since": "below_since"},
    "scheduler_callbacks": {"told": "enqueued_events", "version": "checked_version"},
    "scheduler_deliveries": {"tries": "attempts"},
    "scheduler_idempotency_keys": {"body": "body_hash"},
    "scheduler_leaders": {"until": "lease_until"},
    "scheduler_load_reports": {"at": "reported_at"},
    "scheduler_tasks": {
        "lost": "lost_count",
        "rung_at": "dispatched_at",
        "stop": "stop_requested",
        "stop_after": "stop_at",
    },
    "scheduler_tombstones": {"at": "deleted_at", "left": "cleanup"},
}
"""By the new name of the table."""
INDEXES = {
    "scheduler_cache_run": "scheduler_stage_cache_run",
    "scheduler_marks_at": "scheduler_tombstones_deleted",
    "scheduler_reuses_run": "scheduler_cache_uses_run",
    "scheduler_tasks_rung": "scheduler_tasks_dispatched",
}
SECRET = "the Secret that signs webhooks; when null, {} does"  # noqa: S105  a comment of a column
GENERATED = "the generated webhook secret, sealed"
COMMENTS = (
    ("webhook_secret", SECRET.format("webhook_sealed"), SECRET.format("encrypted_webhook_secret")),
    ("encrypted_webhook_secret", GENERATED, "the generated webhook secret, encrypted"),
)


def upgrade() -> None:
    for old, new in TABLES.items():
        rename_table(old, new)
    for table, columns in COLUMNS.items():
        rename_columns(table, columns)
    for old, new in INDEXES.items():
        rename_index(old, new)
    comment({column: new for column, _, new in COMMENTS})


def downgrade() -> None:
    comment({column: old for column, old, _ in COMMENTS})
    for old, new in INDEXES.items():
        rename_index(new, old)
    for table, columns in COLUMNS.items():
        rename_columns(table, {new: old for old, new in columns.items()})
    for old, new in TABLES.items():
        rename_table(new, old)


def rename_table(old: str, new: str) -> None:
    """SQLite commits each statement: after a crash, the next try skips what is renamed already."""
    if has_table(old):
        op.rename_table(old, new)
        if is_postgresql():
            op.execute(f"ALTER INDEX {old}_pkey RENAME TO {new}_pkey")


def rename_columns(table: str, columns: Mapping[str, str]) -> None:
    present = {column["name"] for column in inspector().get_columns(table)}
    for old, new in columns.items():
        if old in present:
            op.alter_column(table, old, new_column_name=new)


def rename_index(old: str, new: str) -> None:
    if is_postgresql():
        op.execute(f"ALTER INDEX {old} RENAME TO {new}")
        return
    query = sa.text("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = :name")
    statement = op.get_bind().execute(query, {"name": old}).scalar()
    if statement is not None:
        # SQLite has no command to rename an index
        op.execute(statement.replace(f"INDEX {old}", f"INDEX IF NOT EXISTS {new}", 1))
        op.drop_index(old)


def comment(comments: Mapping[str, str]) -> None:
    if is_postgresql():
        for column, text in comments.items():
            op.execute(f"COMMENT ON COLUMN registry_repositories.{column} IS '{text}'")


def has_table(name: str) -> bool:
    return bool(inspector().has_table(name))


def inspector() -> Any:
    """A new one: an inspector remembers what it has read."""
    return sa.inspect(op.get_bind())


def is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
