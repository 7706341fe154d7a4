"""The tables, prefix `registry_`. Times are epoch seconds of the database's clock."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    true,
)

from libs.common.db import Json

metadata = MetaData()

NAME = String(63)
ID = String(32)
HASH = String(64)
COUNTER = BigInteger().with_variant(Integer, "sqlite")
"""SQLite auto-increments only a column whose type is exactly INTEGER."""


def _app_column() -> Column[str]:
    return Column("app", NAME, ForeignKey("registry_apps.name", ondelete="CASCADE"), nullable=False, index=True)


def _app_key_column() -> Column[str]:
    return Column("app", NAME, ForeignKey("registry_apps.name", ondelete="CASCADE"), primary_key=True)


apps = Table(
    "registry_apps",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("module_kind", String(16), nullable=False),
    Column("owners", Json, nullable=False),
    Column("created_at", Double, nullable=False),
)

repositories = Table(
    "registry_repositories",
    metadata,
    _app_key_column(),
    Column("name", NAME, nullable=False),
    Column("url", Text, comment="null: the built-in repository"),
    Column("branch", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("credentials", NAME),
    Column("poll_interval", Double, nullable=False),
    Column("webhook_secret", NAME, comment="the Secret that signs webhooks; when null, encrypted_webhook_secret does"),
    Column("encrypted_webhook_secret", LargeBinary, comment="the generated webhook secret, encrypted"),
    Column("head", String(64), comment="the branch's head when it was last seen"),
    Column("abandoned_head", String(64), comment="the head that a rollback left: it is not new until another one is"),
    Column("poll_error", Text),
    Column("polled_at", Double, nullable=False),
    Column("tags", Text, comment="the newest tag that matches is followed; when null, the branch"),
    Column("forge", String(16), comment="as its manifest says; when null, by the host or the first verified delivery"),
    Column("delivery_forge", String(16), comment="the forge that sent the first verified delivery"),
    Column("status_credentials", NAME, comment="the Secret with the token for commit statuses; else credentials"),
    Column("sends_statuses", Boolean, nullable=False, server_default=true()),
    Column("status_error", Text, comment="why the last commit status was not delivered"),
    Column("refused_secret", String(80), comment="name and version of the Secret whose token the forge refused"),
)

secrets = Table(
    "registry_secrets",
    metadata,
    _app_key_column(),
    Column("name", NAME, primary_key=True),
    Column("keys", Json, nullable=False, comment="the declared keys"),
    Column("version", Integer, nullable=False, comment="grows with every changed value; 0 before the first"),
    Column("updated_at", Double, nullable=False),
)

secret_values = Table(
    "registry_secret_values",
    metadata,
    _app_key_column(),
    Column("name", NAME, primary_key=True),
    Column("key", String(253), primary_key=True),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("verifier", Text, comment="argon2id, when key and value could be a user and a password"),
)

tokens = Table(
    "registry_tokens",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("hash", HASH, nullable=False, unique=True),
    Column("scopes", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
)

api_keys = Table(
    "registry_api_keys",
    metadata,
    Column("id", ID, primary_key=True),
    _app_column(),
    Column("username", String(64), nullable=False),
    Column("hash", HASH, nullable=False, unique=True),
    Column("created_at", Double, nullable=False),
)

revisions = Table(
    "registry_revisions",
    metadata,
    Column("id", ID, primary_key=True),
    _app_column(),
    Column("commit_id", String(64), nullable=False),
    Column("catalog", Json, nullable=False),
    Column("password_secrets", Json, nullable=False, comment="names of the secrets that are basic credentials"),
    Column("created_at", Double, nullable=False),
)

deployments = Table(
    "registry_deployments",
    metadata,
    Column("seq", COUNTER, primary_key=True, autoincrement=True, comment="the order of deployments"),
    Column("id", ID, nullable=False, unique=True),
    _app_column(),
    Column("trigger", String(16), nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("pinned_commit", String(64), comment="the commit that a rollback wants; else the branch's head counts"),
    Column("rollback_to", ID, comment="the deployment that a rollback or a promotion repeats, with its exact images"),
    Column("promoted_from", NAME, comment="the app of rollback_to, when it is another one"),
    Column("caused_by", Text, comment="such as: token ci, webhook of Gitea, poll"),
    Column("commit_id", String(64)),
    Column("tag", Text, comment="the newest one that matched, when tags are followed"),
    Column("author", Text),
    Column("message", Text),
    Column("revision", ID, ForeignKey("registry_revisions.id")),
    Column("errors", Json, nullable=False),
    Column("warnings", Json, nullable=False),
    Column("reported_warnings", Json, nullable=False, comment="the scheduler's"),
    Column("created_at", Double, nullable=False),
    Column("live_at", Double),
    Column("finished_at", Double),
    Index("registry_deployments_by_app", "app", "seq"),
)

steps = Table(
    "registry_steps",
    metadata,
    Column("deployment", ID, ForeignKey("registry_deployments.id", ondelete="CASCADE"), primary_key=True),
    Column("reporter", String(16), primary_key=True, comment="registry or scheduler: each replaces only its own"),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("detail", Text),
    Column("started_at", Double),
    Column("finished_at", Double),
)

deliveries = Table(
    "registry_deliveries",
    metadata,
    _app_key_column(),
    Column("id", String(200), primary_key=True, comment="the forge's id of the webhook delivery"),
    Column("deployment", ID),
    Column("received_at", Double, nullable=False, index=True),
    Column("status", Integer, nullable=False, server_default="202", comment="of the answer; refused from 400 on"),
    Column("forge", String(32)),
    Column("event", String(64)),
    Column("ref", String(255)),
    Column("forge_id", String(200), comment="as the sender claims, also when it was refused"),
    Column("failed_check", String(64)),
    Column("detail", Text, comment="why it was refused"),
    Index("registry_deliveries_by_app", "app", "received_at"),
)

commit_statuses = Table(
    "registry_commit_statuses",
    metadata,
    _app_key_column(),
    Column("commit_id", String(64), primary_key=True),
    Column("deployment", ID, nullable=False),
    Column("seq", COUNTER, nullable=False, comment="of the deployment: an older one changes nothing"),
    Column("state", String(16), nullable=False),
    Column("description", Text, nullable=False),
    Column("version", Integer, nullable=False, comment="grows with every change"),
    Column("sent_version", Integer, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("sent_at", Double, nullable=False, comment="of the last try; 0 before it"),
    Column("next_at", Double, nullable=False, comment="not before this time"),
    Column("claimed_until", Double, nullable=False, comment="a replica sends it"),
    Column("tries", Integer, nullable=False),
    Column("failing_since", Double),
    Column("annotated", HASH, comment="of the errors that the forge was told to show at their lines"),
)

access = Table(
    "registry_access",
    metadata,
    Column("app", NAME, primary_key=True),
    Column("version", COUNTER, nullable=False, index=True),
    Column("deleted", Boolean, nullable=False),
)

counters = Table(
    "registry_counters",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("value", COUNTER, nullable=False),
)

removals = Table(
    "registry_removals",
    metadata,
    Column("app", NAME, primary_key=True, comment="deleted here; the scheduler is still to be told"),
    Column("removed_at", Double, nullable=False),
)

users = Table(
    "registry_users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("password_hash", Text, comment="argon2id; null: signs in with a provider or by a link"),
    Column("is_administrator", Boolean, nullable=False),
    Column("disabled_at", Double, comment="since when the account may not be used"),
    Column("language", String(8)),
    Column("theme", String(8)),
    Column("created_at", Double, nullable=False),
    Column("created_by", Text, nullable=False),
)

sessions = Table(
    "registry_sessions",
    metadata,
    Column("id", ID, primary_key=True),
    Column("user", String(64), ForeignKey("registry_users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("hash", HASH, nullable=False, unique=True),
    Column("kind", String(8), nullable=False, comment="session of a browser, or token of a person"),
    Column("name", String(64), comment="of a personal token"),
    Column("scopes", Json, comment="what a personal token is limited to; null: all that its person may"),
    Column("groups", Json, nullable=False, comment="of the provider, when the session began"),
    Column("created_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),
    Column("expires_at", Double, comment="null: never"),
)

links = Table(
    "registry_links",
    metadata,
    Column("hash", HASH, primary_key=True),
    Column("kind", String(16), nullable=False, comment="invitation or sign-in; deleted when it is used"),
    Column("user", String(64), ForeignKey("registry_users.name", ondelete="CASCADE"), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
)

members = Table(
    "registry_members",
    metadata,
    _app_key_column(),
    Column("kind", String(8), primary_key=True, comment="user or group"),
    Column("name", String(128), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_at", Double, nullable=False),
)
