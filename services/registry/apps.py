"""An app and its repository, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from libs.common.manifests import PlatformApp
from libs.common.manifests import Repository as Manifest

WEBHOOK_KEY = "secret"
"""The key under which a webhook secret is kept, generated or given."""


@dataclass(frozen=True)
class App:
    name: str
    title: str
    description: str = ""
    module_kind: str = "base"
    owners: tuple[str, ...] = ()
    created_at: float = 0.0

    @classmethod
    def from_manifest(cls, manifest: PlatformApp) -> Self:
        spec = manifest.spec
        return cls(manifest.namespace, spec.title, spec.description, spec.module_kind, spec.owners)

    def declared_fields(self) -> dict[str, Any]:
        """What a PlatformApp says of it."""
        return {
            "title": self.title,
            "description": self.description,
            "module_kind": self.module_kind,
            "owners": list(self.owners),
        }


@dataclass(frozen=True)
class Repository:
    """`head` is the newest commit of the branch that was seen, `abandoned` the head that a rollback left."""

    app: str
    name: str
    url: str
    branch: str
    path: str
    credentials: str | None
    poll_interval: float
    webhook_secret: str | None
    webhook_sealed: bytes | None = None
    head: str | None = None
    abandoned: str | None = None
    poll_error: str | None = None
    polled_at: float = 0.0

    @classmethod
    def from_manifest(cls, app: str, manifest: Manifest) -> Self:
        spec = manifest.spec
        name = manifest.metadata.name
        return cls(
            app, name, spec.url, spec.branch, spec.path, spec.credentials, spec.poll_interval, spec.webhook.secret
        )  # fmt: skip

    def declared_fields(self) -> dict[str, Any]:
        """What a Repository manifest says of it."""
        names = ("name", "url", "branch", "path", "credentials", "poll_interval", "webhook_secret")
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> Mapping[str, Any]:
        names = ("url", "branch", "path", "poll_interval", "head", "poll_error")
        return {name: getattr(self, name) for name in names}
