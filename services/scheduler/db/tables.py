"""Table definitions. Times are epoch seconds on the database's clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from libs.common.db import Json

metadata = MetaData()


def _where_not_null(column: str) -> dict[str, Any]:
    """Arguments of a partial index: new rows mostly have no value, and inserting them skips the index."""
    condition = text(f"{column} IS NOT NULL")
    return {"postgresql_where": condition, "sqlite_where": condition}


apps = Table(
    "scheduler_apps",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("deployment", String(40)),
    Column("commit", String(64), nullable=False, default=""),
    Column("catalog", Json),
    Column("access", Json, nullable=False),
)

rollouts = Table(
    "scheduler_rollouts",
    metadata,
    Column("deployment", String(40), primary_key=True),
    Column("app", String(63), nullable=False),
    Column("commit", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("catalog", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("steps", Json, nullable=False),
    Column("errors", Json, nullable=False),
    Column("warnings", Json, nullable=False),
    Column("reported", Boolean, nullable=False, default=False),
    Column("images", Json),
    Column("builds", Json),
    Index("scheduler_rollouts_open", "status"),
    Index("scheduler_rollouts_unreported", "reported"),
)

runs = Table(
    "scheduler_runs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("app", String(63), nullable=False),
    Column("pipeline", String(63), nullable=False),
    Column("user", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", Json),
    Column("plan", Json, nullable=False),
    Column("inputs", Json, nullable=False),
    Column("outputs", Json, nullable=False),
    Column("labels", Json, nullable=False),
    Column("priority", Integer, nullable=False, default=0),
    Column("attempt", Integer, nullable=False, default=1),
    Column("version", Integer, nullable=False, default=1),
    Column("deadline", Double, nullable=False),
    Column("chain", String(40)),
    Column("position", Integer),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Index("scheduler_runs_chain", "chain", "position", unique=True, **_where_not_null("chain")),
    Index("scheduler_runs_listed", "app", "created_at", "id"),
    Index("scheduler_runs_status", "status", "deadline"),
    Index("scheduler_runs_waiting", "app", "status"),
)

tasks = Table(
    "scheduler_tasks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("app", String(63), nullable=False),
    Column("run", String(40)),
    Column("name", String(63), nullable=False),
    Column("replica", Integer, nullable=False, default=0),
    Column("fingerprint", String(64), nullable=False, default=""),
    Column("resource_class", String(32), nullable=False, default="cpu"),
    Column("priority", Integer, nullable=False, default=0),
    Column("state", String(12), nullable=False),
    Column("reason", Json),
    Column("spec", Json, nullable=False),
    Column("attempt", Integer, nullable=False, default=0),
    Column("lost_count", Integer, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("token", BigInteger, nullable=False, default=0),
    Column("worker", String(128)),
    Column("lease_until", Double),
    Column("not_before", Double),
    Column("dispatched_at", Double),
    Column("stop_requested", Boolean, nullable=False, default=False),
    Column("stop_at", Double),
    Column("phase", String(16)),
    Column("detail", String(1000)),
    Column("progress", Json),
    Column("endpoint", Json),
    Column("openapi", Json),
    Column("image", String(80)),
    Column("log_tail", Json),
    Column("result", Json),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Index("scheduler_tasks_run", "run"),
    Index("scheduler_tasks_next", "state", "resource_class", "priority", "created_at"),
    Index("scheduler_tasks_app", "app", "kind", "state"),
    Index("scheduler_tasks_worker", "worker", "state", **_where_not_null("worker")),
    Index("scheduler_tasks_dispatched", "state", "resource_class", "dispatched_at", **_where_not_null("dispatched_at")),
)

attempts = Table(
    "scheduler_attempts",
    metadata,
    Column("task", String(40), primary_key=True),
    Column("token", BigInteger, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("worker", String(128), nullable=False),
    Column("outcome", String(16)),
    Column("reason", Json),
    Column("usage", Json),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("sweep_at", Double),
    Index("scheduler_attempts_sweep", "sweep_at"),
)

workers = Table(
    "scheduler_workers",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("classes", Json, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("free", Integer, nullable=False),
    Column("labels", Json, nullable=False),
    Column("draining", Boolean, nullable=False, default=False),
    Column("seen_at", Double, nullable=False),
    Column("kinds", Json),
    Column("engine", String(128)),
)

images = Table(
    "scheduler_images",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("engine", String(128), primary_key=True),
    Column("image", String(600), nullable=False),
    Column("log", String(200), nullable=False),
    Column("built_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),
    Index("scheduler_images_image", "image"),
)

autoscaling = Table(
    "scheduler_autoscaling",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("component", String(63), primary_key=True),
    Column("bounds", Json, nullable=False),
    Column("replicas", Integer, nullable=False),
    Column("low_water_replicas", Integer, nullable=False),
    Column("below_since", Double),
)

load_reports = Table(
    "scheduler_load_reports",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("component", String(63), primary_key=True),
    Column("gateway", String(128), primary_key=True),
    Column("load", Double, nullable=False),
    Column("reported_at", Double, nullable=False),
)

routes = Table(
    "scheduler_routes",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("document", Json),
    Index("scheduler_routes_version", "version"),
)

counters = Table(
    "scheduler_counters",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

leaders = Table(
    "scheduler_leaders",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("owner", String(128), nullable=False),
    Column("lease_until", Double, nullable=False),
)

schedules = Table(
    "scheduler_schedules",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("pipeline", String(63), primary_key=True),
    Column("spec", Json, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("next_at", Double),
    Column("last_at", Double),
    Column("last_run", String(40)),
    Column("problem", String(1000)),
    Index("scheduler_schedules_due", "next_at"),
)

callbacks = Table(
    "scheduler_callbacks",
    metadata,
    Column("run", String(40), primary_key=True),
    Column("app", String(63), nullable=False),
    Column("user", String(64), nullable=False),
    Column("spec", Json, nullable=False),
    Column("enqueued_events", Json, nullable=False),
    Column("checked_version", Integer, nullable=False),
    Column("open", Boolean, nullable=False),
    Index("scheduler_callbacks_open", "open"),
)

deliveries = Table(
    "scheduler_deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("run", String(40), nullable=False),
    Column("event", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(12), nullable=False),
    Column("attempts", Json, nullable=False),
    Column("next_at", Double),
    Column("created_at", Double, nullable=False),
    Index("scheduler_deliveries_due", "state", "next_at"),
    Index("scheduler_deliveries_run", "run"),
)

tombstones = Table(
    "scheduler_tombstones",
    metadata,
    Column("run", String(40), primary_key=True),
    Column("app", String(63), nullable=False),
    Column("deleted_at", Double, nullable=False),
    Column("cleanup", Json),
    Index("scheduler_tombstones_deleted", "deleted_at"),
)

stage_cache = Table(
    "scheduler_stage_cache",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("run", String(40), nullable=False),
    Column("stage", String(63), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("outputs", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("scheduler_stage_cache_run", "run"),
)

cache_uses = Table(
    "scheduler_cache_uses",
    metadata,
    Column("source", String(40), primary_key=True),
    Column("run", String(40), primary_key=True),
    Index("scheduler_cache_uses_run", "run"),
)

idempotency_keys = Table(
    "scheduler_idempotency_keys",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("user", String(64), primary_key=True),
    Column("path", String(63), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("body_hash", String(64), nullable=False),
    Column("run", String(40), nullable=False),
    Column("created_at", Double, nullable=False),
)
