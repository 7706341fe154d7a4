"""How each forge wants a token. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class AccessToken:
    """`username` is empty when only a token is known."""

    value: str = field(repr=False)
    username: str = ""


def send_bearer(token: AccessToken) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token.value}"}


def send_basic(token: AccessToken) -> Mapping[str, str]:
    pair = f"{token.username}:{token.value}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def send_basic_or_bearer(token: AccessToken) -> Mapping[str, str]:
    """A password has a user."""
    return send_basic(token) if token.username else send_bearer(token)


def send_gitea_token(token: AccessToken) -> Mapping[str, str]:
    return send_basic(token) if token.username else {"Authorization": f"token {token.value}"}


def send_gitlab_token(token: AccessToken) -> Mapping[str, str]:
    return {"PRIVATE-TOKEN": token.value}
