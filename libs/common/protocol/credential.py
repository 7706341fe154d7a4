"""Credentials that registry checks for gateway, and reveals to workers: `POST …/tokens/verify`, `…/secrets/values`."""

from __future__ import annotations

from libs.common.protocol.message import Message


class TokenQuery(Message):
    """An API token that a caller has sent."""

    token: str


class TokenStatus(Message):
    """A valid token; registry answers 401 for another."""

    name: str
    scopes: tuple[str, ...]
    expires_in: float | None = None
    """Seconds; None: never."""
    person: str = ""
    """The account whose session or personal token it is; empty for an operator's token."""
    session: str = ""
    """The id of that session or personal token."""


class SecretsQuery(Message):
    """Secrets that a worker needs to start a task."""

    names: tuple[str, ...]


class SecretValues(Message):
    """Decrypted values; registry answers 409 when one of the secrets has none."""

    secrets: dict[str, dict[str, str]]
    """Values by key, by Secret."""
