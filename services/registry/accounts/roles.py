"""Roles of people in apps, and the scopes that they give. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from libs.common.scopes import ADMIN, SCOPE_BY_ROLE

RoleName = Literal["viewer", "caller", "developer", "owner"]
MemberKind = Literal["user", "group"]


@dataclass(frozen=True)
class Membership:
    """A role in an app, and by what: a name, a group, or the manifest of the app."""

    app: str
    role: RoleName
    via: str = "name"


def list_scopes(memberships: Iterable[Membership], *, is_administrator: bool) -> frozenset[str]:
    """The scopes of a person."""
    scopes = frozenset(f"{SCOPE_BY_ROLE[membership.role]}:{membership.app}" for membership in memberships)
    return frozenset({ADMIN}) if is_administrator else scopes


def may_create_apps(person: str, scopes: frozenset[str]) -> bool:
    """Whether a person, who would own the app, may create it: administrators, and who develops one, which runs code.

    Of operators' tokens the scope for the new app decides.
    """
    return bool(person) and any(scope.partition(":")[0] in (ADMIN, "develop", "write") for scope in scopes)
