"""The tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from libs.common.db import Json

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "databox_boxes",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=False),
        sa.Column("detached", sa.Boolean(), nullable=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app", "name"),
    )
    op.create_table(
        "databox_publications",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("moves", Json, nullable=False),
        sa.Column("fresh", Json, nullable=True),
        sa.Column("answer", Json, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("app", "id"),
    )
    op.create_table(
        "databox_reservations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("box", sa.String(length=63), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("databox_reservations_box", "databox_reservations", ["app", "box"], unique=False)
    op.create_table(
        "registry_access",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("app"),
    )
    op.create_index(op.f("ix_registry_access_version"), "registry_access", ["version"], unique=False)
    op.create_table(
        "registry_apps",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("module_kind", sa.String(length=16), nullable=False),
        sa.Column("owners", Json, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "registry_counters",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("value", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "registry_removals",
        sa.Column(
            "app", sa.String(length=63), nullable=False, comment="deleted here; the scheduler is still to be told"
        ),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("app"),
    )
    op.create_table(
        "registry_tokens",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "scheduler_apps",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("deployment", sa.String(length=40), nullable=True),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("catalog", Json, nullable=True),
        sa.Column("access", Json, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "scheduler_attempts",
        sa.Column("task", sa.String(length=40), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=128), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("reason", Json, nullable=True),
        sa.Column("usage", Json, nullable=True),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("task", "token"),
    )
    op.create_table(
        "scheduler_counters",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "scheduler_leaders",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "scheduler_rollouts",
        sa.Column("deployment", sa.String(length=40), nullable=False),
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("catalog", Json, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("steps", Json, nullable=False),
        sa.Column("errors", Json, nullable=False),
        sa.Column("warnings", Json, nullable=False),
        sa.Column("reported", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("deployment"),
    )
    op.create_index("scheduler_rollouts_open", "scheduler_rollouts", ["status"], unique=False)
    op.create_index("scheduler_rollouts_unreported", "scheduler_rollouts", ["reported"], unique=False)
    op.create_table(
        "scheduler_routes",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("document", Json, nullable=True),
        sa.PrimaryKeyConstraint("app"),
    )
    op.create_index("scheduler_routes_version", "scheduler_routes", ["version"], unique=False)
    op.create_table(
        "scheduler_runs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("pipeline", sa.String(length=63), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", Json, nullable=True),
        sa.Column("plan", Json, nullable=False),
        sa.Column("inputs", Json, nullable=False),
        sa.Column("outputs", Json, nullable=False),
        sa.Column("labels", Json, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("scheduler_runs_listed", "scheduler_runs", ["app", "created_at", "id"], unique=False)
    op.create_index("scheduler_runs_status", "scheduler_runs", ["status"], unique=False)
    op.create_table(
        "scheduler_submissions",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("app", "user", "path", "key"),
    )
    op.create_table(
        "scheduler_tasks",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=True),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("replica", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("resource_class", sa.String(length=32), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", Json, nullable=True),
        sa.Column("spec", Json, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.String(length=128), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("not_before", sa.Double(), nullable=True),
        sa.Column("rung_at", sa.Double(), nullable=True),
        sa.Column("stop", sa.Boolean(), nullable=False),
        sa.Column("stop_after", sa.Double(), nullable=True),
        sa.Column("phase", sa.String(length=16), nullable=True),
        sa.Column("detail", sa.String(length=1000), nullable=True),
        sa.Column("progress", Json, nullable=True),
        sa.Column("endpoint", Json, nullable=True),
        sa.Column("openapi", Json, nullable=True),
        sa.Column("log_tail", Json, nullable=True),
        sa.Column("result", Json, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("scheduler_tasks_app", "scheduler_tasks", ["app", "kind", "state"], unique=False)
    op.create_index(
        "scheduler_tasks_next", "scheduler_tasks", ["state", "resource_class", "priority", "created_at"], unique=False
    )
    op.create_index("scheduler_tasks_run", "scheduler_tasks", ["run"], unique=False)
    op.create_index("scheduler_tasks_worker", "scheduler_tasks", ["worker", "state"], unique=False)
    op.create_table(
        "scheduler_workers",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("classes", Json, nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("free", sa.Integer(), nullable=False),
        sa.Column("labels", Json, nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "registry_api_keys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["app"], ["registry_apps.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    )
    op.create_index(op.f("ix_registry_api_keys_app"), "registry_api_keys", ["app"], unique=False)
    op.create_table(
        "registry_deliveries",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False, comment="the forge's id of the webhook delivery"),
        sa.Column("deployment", sa.String(length=32), nullable=True),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["app"], ["registry_apps.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app", "id"),
    )
    op.create_index(op.f("ix_registry_deliveries_received_at"), "registry_deliveries", ["received_at"], unique=False)
    op.create_table(
        "registry_repositories",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("credentials", sa.String(length=63), nullable=True),
        sa.Column("poll_interval", sa.Double(), nullable=False),
        sa.Column(
            "webhook_secret",
            sa.String(length=63),
            nullable=True,
            comment="the Secret that signs webhooks; when null, webhook_sealed does",
        ),
        sa.Column("webhook_sealed", sa.LargeBinary(), nullable=True, comment="the generated webhook secret, sealed"),
        sa.Column("head", sa.String(length=64), nullable=True, comment="the branch's head when it was last seen"),
        sa.Column(
            "abandoned",
            sa.String(length=64),
            nullable=True,
            comment="the head that a rollback left: it is not new until another one is",
        ),
        sa.Column("poll_error", sa.Text(), nullable=True),
        sa.Column("polled_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["app"], ["registry_apps.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app"),
    )
    op.create_table(
        "registry_revisions",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("commit_id", sa.String(length=64), nullable=False),
        sa.Column("catalog", Json, nullable=False),
        sa.Column("passwords", Json, nullable=False, comment="names of the secrets that are basic credentials"),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["app"], ["registry_apps.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_registry_revisions_app"), "registry_revisions", ["app"], unique=False)
    op.create_table(
        "registry_secret_values",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=253), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column(
            "verifier", sa.Text(), nullable=True, comment="argon2id, when key and value could be a user and a password"
        ),
        sa.ForeignKeyConstraint(["app"], ["registry_apps.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app", "name", "key"),
    )
    op.create_table(
        "registry_secrets",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("keys", Json, nullable=False, comment="the declared keys"),
        sa.Column(
            "version", sa.Integer(), nullable=False, comment="grows with every changed value; 0 before the first"
        ),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["app"], ["registry_apps.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app", "name"),
    )
    op.create_table(
        "registry_deployments",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="the order of deployments",
        ),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("cause", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column(
            "pinned",
            sa.String(length=64),
            nullable=True,
            comment="the commit that a rollback wants; else the branch's head counts",
        ),
        sa.Column("commit_id", sa.String(length=64), nullable=True),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("revision", sa.String(length=32), nullable=True),
        sa.Column("errors", Json, nullable=False),
        sa.Column("warnings", Json, nullable=False),
        sa.Column("reported_warnings", Json, nullable=False, comment="the scheduler's"),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("live_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["app"], ["registry_apps.name"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["revision"],
            ["registry_revisions.id"],
        ),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index(op.f("ix_registry_deployments_app"), "registry_deployments", ["app"], unique=False)
    op.create_index(op.f("ix_registry_deployments_status"), "registry_deployments", ["status"], unique=False)
    op.create_index("registry_deployments_by_app", "registry_deployments", ["app", "seq"], unique=False)
    op.create_table(
        "registry_steps",
        sa.Column("deployment", sa.String(length=32), nullable=False),
        sa.Column(
            "reporter",
            sa.String(length=16),
            nullable=False,
            comment="registry or scheduler: each replaces only its own",
        ),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["deployment"], ["registry_deployments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("deployment", "reporter", "position"),
    )
