"""Who is calling, as the gateway established it. Services read it; only the gateway writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.common.errors import Forbidden

HEADER_USER = "X-Mlmesh-User"
HEADER_TOKEN_NAME = "X-Mlmesh-Token-Name"  # noqa: S105  the name of a header
HEADER_SCOPES = "X-Mlmesh-Scopes"
HEADER_PIPELINES = "X-Mlmesh-Pipelines"
ANONYMOUS = "anonymous"
"""The user of a call without credentials: all such callers, so that none of them sees what is the user's."""
OWNER_USER = "developer"
"""The user as whom an app's owners act: models and constant data live in this user's area."""


@dataclass(frozen=True)
class Caller:
    user: str = ""
    token_name: str = ""
    scopes: frozenset[str] = field(default_factory=frozenset)
    pipelines: frozenset[str] = field(default_factory=frozenset)

    def has_scope(self, scope: str, app: str | None = None) -> bool:
        """`scope` is `read`, `write` or `admin`; `admin` includes `write`, `write` includes `read`."""
        enough = {"read": ("read", "write"), "write": ("write",), "admin": ()}[scope]
        wanted = {"admin", *enough} | ({f"{one}:{app}" for one in enough} if app else set())
        return bool(wanted & self.scopes)

    def require_scope(self, scope: str, app: str | None = None) -> None:
        if not self.has_scope(scope, app):
            where = f" for {app}" if app else ""
            raise Forbidden(f"this token lacks the scope {scope!r}{where}")

    def can_run(self, pipeline: str) -> bool:
        return "*" in self.pipelines or pipeline in self.pipelines


def caller_from_headers(headers: Mapping[str, str]) -> Caller:
    """`headers` is any case-insensitive mapping, such as a request's."""
    return Caller(
        user=headers.get(HEADER_USER, ""),
        token_name=headers.get(HEADER_TOKEN_NAME, ""),
        scopes=frozenset(headers.get(HEADER_SCOPES, "").split()),
        pipelines=frozenset(headers.get(HEADER_PIPELINES, "").split()),
    )
