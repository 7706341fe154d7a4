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
SCOPE = re.compile(r"admin|(read|call|develop|write)(:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?")


def suffices(scopes: frozenset[str], needed: str, app: str | None = None) -> bool:
    """Whether `scopes` allow `needed`, such as `write`, for an app; without an app for all of them."""
    sufficient = INCLUDED_BY[needed]
    return bool(scopes & ({ADMIN, *sufficient} | ({f"{name}:{app}" for name in sufficient} if app else set())))


def limit_scopes(scopes: Iterable[str], limits: frozenset[str]) -> frozenset[str]:
    """What both `scopes` and `limits` allow."""
    return frozenset(common for scope in scopes for limit in limits if (common := _find_common(scope, limit)))


def _find_common(scope: str, other: str) -> str:
    """The smaller of two scopes; empty when neither includes the other."""
    if _includes(scope, other):
        return other
    if _includes(other, scope):
        return scope
    (name, app), (other_name, other_app) = _split(scope), _split(other)
    if app and other_app and app != other_app:
        return ""
    smaller = name if other_name in INCLUDED_BY.get(name, ()) else other_name if name in INCLUDED_BY[other_name] else ""
    return f"{smaller}:{app or other_app}" if smaller else ""


def _includes(larger: str, smaller: str) -> bool:
    name, app = _split(smaller)
    return suffices(frozenset({larger}), name, app)


def _split(scope: str) -> tuple[str, str | None]:
    name, _, app = scope.partition(":")
    return name, app or None
