"""Who is calling, as the gateway established it. Services read it; only the gateway writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.common.errors import Forbidden

USER = "X-Mlmesh-User"
TOKEN_NAME = "X-Mlmesh-Token-Name"  # noqa: S105  the name of a header
SCOPES = "X-Mlmesh-Scopes"
PIPELINES = "X-Mlmesh-Pipelines"
ANONYMOUS = "anonymous"
"""The user of a call without credentials: all such callers, so that none of them sees what is the user's."""
OWNER = "developer"
"""The user as whom an app's owners act: models and constant data live in this user's area."""


@dataclass(frozen=True)
class Caller:
    user: str = ""
    token_name: str = ""
    scopes: frozenset[str] = field(default_factory=frozenset)
    pipelines: frozenset[str] = field(default_factory=frozenset)

    def may(self, scope: str, app: str | None = None) -> bool:
        """`scope` is `read`, `write` or `admin`; `admin` includes `write`, `write` includes `read`."""
        enough = {"read": ("read", "write"), "write": ("write",), "admin": ()}[scope]
        wanted = {"admin", *enough} | ({f"{one}:{app}" for one in enough} if app else set())
        return bool(wanted & self.scopes)

    def require(self, scope: str, app: str | None = None) -> None:
        if not self.may(scope, app):
            where = f" for {app}" if app else ""
            raise Forbidden(f"this token lacks the scope {scope!r}{where}")

    def may_run(self, pipeline: str) -> bool:
        return "*" in self.pipelines or pipeline in self.pipelines


def caller(headers: Mapping[str, str]) -> Caller:
    """`headers` is any case-insensitive mapping, such as a request's."""
    return Caller(
        user=headers.get(USER, ""),
        token_name=headers.get(TOKEN_NAME, ""),
        scopes=frozenset(headers.get(SCOPES, "").split()),
        pipelines=frozenset(headers.get(PIPELINES, "").split()),
    )
