"""The authenticated caller of a request, in headers that only the gateway sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.common.errors import Forbidden

HEADER_USER = "X-Mlmesh-User"
HEADER_TOKEN_NAME = "X-Mlmesh-Token-Name"  # noqa: S105  the name of a header
HEADER_SCOPES = "X-Mlmesh-Scopes"
HEADER_PIPELINES = "X-Mlmesh-Pipelines"
ANONYMOUS = "anonymous"
"""The user of all calls without credentials; this user owns nothing."""
OWNER_USER = "developer"
"""The user for whom the owners of an app act: owns models and constant data."""


@dataclass(frozen=True)
class Caller:
    user: str = ""
    token_name: str = ""
    scopes: frozenset[str] = field(default_factory=frozenset)
    pipelines: frozenset[str] = field(default_factory=frozenset)

    @property
    def title(self) -> str:
        """As records name who did something: `token ci`."""
        return f"token {self.token_name}" if self.token_name else f"user {self.user or ANONYMOUS}"

    def has_scope(self, scope: str, app: str | None = None) -> bool:
        """`scope` is `read`, `write` or `admin`; `admin` includes `write`, `write` includes `read`."""
        sufficient = {"read": ("read", "write"), "write": ("write",), "admin": ()}[scope]
        scopes = {"admin", *sufficient} | ({f"{name}:{app}" for name in sufficient} if app else set())
        return bool(scopes & self.scopes)

    def require_scope(self, scope: str, app: str | None = None) -> None:
        if not self.has_scope(scope, app):
            target = f" for {app}" if app else ""
            raise Forbidden(f"this token lacks the scope {scope!r}{target}")

    def can_run(self, pipeline: str) -> bool:
        return "*" in self.pipelines or pipeline in self.pipelines


def caller_from_headers(headers: Mapping[str, str]) -> Caller:
    """`headers` is a case-insensitive mapping."""
    return Caller(
        user=headers.get(HEADER_USER, ""),
        token_name=headers.get(HEADER_TOKEN_NAME, ""),
        scopes=frozenset(headers.get(HEADER_SCOPES, "").split()),
        pipelines=frozenset(headers.get(HEADER_PIPELINES, "").split()),
    )
