"""Tokens and API keys: random, shown once, kept as their SHA-256. 256 random bits need no slow hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable

from libs.common.errors import Invalid

RANDOM_BYTES = 32
SCOPE = re.compile(r"admin|(read|write)(:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?")
NAME = re.compile(r"[A-Za-z0-9._@ -]{1,64}")
ADMIN_NAME = "admin"
"""What the token of the settings is called."""


def new_token(kind: str) -> str:
    """A new secret text such as `mlmesh_…`; `kind` tells people (and secret scanners) what it is."""
    return f"{kind}_{secrets.token_urlsafe(RANDOM_BYTES)}"


def new_id() -> str:
    """A name for a row that outsiders see: short, random, good in a URL."""
    return secrets.token_hex(8)


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def constant_time_equal(presented: str, expected: str) -> bool:
    """Compared in constant time; an empty `expected` is no token."""
    return bool(expected) and hmac.compare_digest(presented.encode(), expected.encode())


def is_expired(expires_at: float | None, now: float) -> bool:
    return expires_at is not None and expires_at <= now


def validate_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Raises Invalid, which names the first one that is no scope."""
    unique = tuple(dict.fromkeys(scopes))
    wrong = next((scope for scope in unique if not SCOPE.fullmatch(scope)), None)
    if wrong is not None:
        raise Invalid(f"{wrong!r} is no scope; there are admin, read, write, read:<app>, write:<app>")
    if not unique:
        raise Invalid("a token needs at least one scope")
    return unique
