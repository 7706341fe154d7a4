"""The authenticated caller of a request, in headers that only the gateway sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.common.errors import Forbidden
from libs.common.scopes import ROLE_BY_SCOPE, suffices

HEADER_USER = "X-Mlmesh-User"
HEADER_TOKEN_NAME = "X-Mlmesh-Token-Name"  # noqa: S105  the name of a header
HEADER_SCOPES = "X-Mlmesh-Scopes"
HEADER_PIPELINES = "X-Mlmesh-Pipelines"
HEADER_PERSON = "X-Mlmesh-Person"
HEADER_SESSION = "X-Mlmesh-Session"
HEADER_ADDRESS = "X-Mlmesh-Address"
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
    person: str = ""
    """The account whose session or personal token it is; empty for operators' tokens."""
    session: str = ""
    """The id of that session or personal token."""
    address: str = ""
    """The client's network address."""

    @property
    def title(self) -> str:
        """As records name who did something: `token ci`, `user petrova`."""
        if self.person:
            return f"user {self.person}"
        return f"token {self.token_name}" if self.token_name else f"user {self.user or ANONYMOUS}"

    def has_scope(self, scope: str, app: str | None = None) -> bool:
        """`scope` is `read`, `call`, `develop`, `write` or `admin`."""
        return suffices(self.scopes, scope, app)

    def require_scope(self, scope: str, app: str | None = None) -> None:
        if not self.has_scope(scope, app):
            target = f" for {app}" if app else ""
            if self.person:
                role = ROLE_BY_SCOPE[scope]
                raise Forbidden(f"you need the role {role}{target}; ask an owner of the app or an administrator")
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
        person=headers.get(HEADER_PERSON, ""),
        session=headers.get(HEADER_SESSION, ""),
        address=headers.get(HEADER_ADDRESS, ""),
    )
