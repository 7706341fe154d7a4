"""Who may call each app, and which values its secrets have: `GET /internal/access`."""

from __future__ import annotations

from pydantic import Field

from libs.common.http.tolerant_list import TolerantMap
from libs.common.protocol.message import Message


class AppAccess(Message):
    """Callers of an app, and versions of its secrets."""

    users: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Argon2id hashes of passwords by user, by Secret."""
    keys: dict[str, str] = Field(default_factory=dict)
    """Users by the SHA-256 of their API key."""
    secrets: dict[str, int] = Field(default_factory=dict)
    """The version of each secret's values; a component that uses it is rolled when it changes."""


class AccessFeed(Message):
    """The apps that changed after the version that scheduler has."""

    version: int
    apps: TolerantMap[AppAccess | None] = Field(default_factory=dict)
    """None: the app is deleted. An app that cannot be read keeps the access that it had."""
