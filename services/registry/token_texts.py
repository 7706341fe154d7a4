"""Tokens and API keys: random, shown once, stored as SHA-256 (256 random bits need no slow hash)."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable

from libs.common.errors import Invalid
from libs.common.scopes import SCOPE

RANDOM_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9._@ -]{1,64}")
ADMIN_NAME = "admin"
"""The name of the token in the settings (MLMESH_ADMIN_TOKEN)."""


def new_token(kind: str) -> str:
    """A random token such as `mlmesh_…`; the prefix `kind` identifies it to people and secret scanners."""
    return f"{kind}_{secrets.token_urlsafe(RANDOM_BYTES)}"


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def constant_time_equal(presented: str, expected: str) -> bool:
    """Constant-time comparison; an empty `expected` matches nothing."""
    return bool(expected) and hmac.compare_digest(presented.encode(), expected.encode())


def is_expired(expires_at: float | None, now: float) -> bool:
    return expires_at is not None and expires_at <= now


def validate_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes without duplicates. Raises Invalid with the first unknown one."""
    unique = tuple(dict.fromkeys(scopes))
    wrong = next((scope for scope in unique if not SCOPE.fullmatch(scope)), None)
    if wrong is not None:
        raise Invalid(f"unknown scope {wrong!r}; use admin, read, call, develop or write, for one app as in read:<app>")
    if not unique:
        raise Invalid("a token needs at least one scope")
    return unique
