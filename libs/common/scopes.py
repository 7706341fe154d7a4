"""Scopes of credentials: what a caller may do, for one app (`read:texts`) or for all (`read`). Pure.

`admin` includes every scope, `write` includes `develop`, and `develop` includes `read` and `call`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

ADMIN = "admin"
INCLUDED_BY: Mapping[str, frozenset[str]] = {
    "read": frozenset({"read", "develop", "write"}),
    "call": frozenset({"call", "develop", "write"}),
    "develop": frozenset({"develop", "write"}),
    "write": frozenset({"write"}),
    ADMIN: frozenset(),
}
"""The scopes that suffice for each of them, besides `admin`."""
SCOPE_BY_ROLE = {"viewer": "read", "caller": "call", "developer": "develop", "owner": "write", "administrator": ADMIN}
"""What each role of a person gives."""
ROLE_BY_SCOPE = {scope: role for role, scope in SCOPE_BY_ROLE.items()}
SCOPE = re.compile(r"admin|(read|call|develop|write)(:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?")


def suffices(scopes: frozenset[str], needed: str, app: str | None = None) -> bool:
    """Whether `scopes` allow `needed`, such as `write`, for an app; without an app for all of them."""
    sufficient = INCLUDED_BY[needed]
    return bool(scopes & ({ADMIN, *sufficient} | ({f"{name}:{app}" for name in sufficient} if app else set())))


def limit_scopes(scopes: Iterable[str], limits: frozenset[str]) -> frozenset[str]:
    """What both `scopes` and `limits` allow."""
    return frozenset(common for scope in scopes for limit in limits if (common := _find_common(scope, limit)))


def _find_common(scope: str, other: str) -> str:
    """The scope that both include; empty when there is none."""
    (name, app), (other_name, other_app) = _split(scope), _split(other)
    if app and other_app and app != other_app:
        return ""
    for smaller, larger in ((name, other_name), (other_name, name)):
        if larger in (ADMIN, *INCLUDED_BY[smaller]):
            return ":".join(filter(None, (smaller, app or other_app)))
    return ""


def _split(scope: str) -> tuple[str, str]:
    """Its name, and its app, empty for all."""
    name, _, app = scope.partition(":")
    return name, app
