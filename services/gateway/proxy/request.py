"""A request from its ASGI scope, and its headers for the upstream."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

from libs.common.http.request_id import accept_request_id
from libs.common.http.upgrade import list_tokens
from libs.common.http.uvicorn.protocol import DETACH_TRANSPORT
from services.gateway.proxy.access_watch import AccessWatch
from services.gateway.proxy.cookies import remove_session_cookie
from services.gateway.proxy.tunnel import TakeTransport
from services.gateway.proxy.upstream_connection import Headers

EMPTY: Mapping[str, Any] = {}
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade", b"expect"}
)  # fmt: skip
FORWARDED_HEADERS = frozenset(
    {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix", b"forwarded"}
)
CREDENTIAL_HEADERS = frozenset({b"authorization", b"x-api-key"})
INTERNAL_PREFIX = b"x-mlmesh-"
TIMEOUT_HEADER = b"x-request-timeout"
"""Header of the client: seconds that it will wait."""


@dataclass(slots=True)
class Request:
    method: str
    raw_path: str
    query: bytes
    headers: Headers
    """As received."""
    peer: str
    scheme: str
    by_name: dict[bytes, bytes] = field(default_factory=dict)
    id: str = ""
    user: str = ""
    """The authenticated user; empty before authentication."""
    own_app: str = ""
    """The app on whose own host the request arrived; empty on a host that apps share."""
    take_transport: TakeTransport | None = None
    """Takes over the connection for a WebSocket; set where the client offers that upgrade."""
    access_watch: AccessWatch | None = None
    """Ends the response when the caller's bearer token is refused; set when one let the caller in."""

    @property
    def accepts_html(self) -> bool:
        """Whether a browser may show the response as a page."""
        return b"text/html" in self.by_name.get(b"accept", b"").lower()

    @property
    def wants_html(self) -> bool:
        """Whether a browser asks for a page."""
        return self.method in ("GET", "HEAD") and self.accepts_html

    @classmethod
    def from_scope(cls, scope: Scope) -> Request:
        headers: Headers = scope["headers"]
        by_name = dict(headers)
        sent_id = by_name.get(b"x-request-id")
        identity = sent_id.decode("latin-1") if sent_id else ""
        return cls(
            method=scope["method"],
            raw_path=(scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0],
            query=scope["query_string"],
            headers=headers,
            peer=(scope.get("client") or ("", 0))[0],
            scheme=scope.get("scheme", "http"),
            by_name=by_name,
            take_transport=scope.get("extensions", EMPTY).get(DETACH_TRANSPORT, EMPTY).get("to"),
            id=accept_request_id(identity),
        )

    @property
    def client_timeout(self) -> float:
        """Seconds that the client will wait; infinite without a valid header."""
        value = self.by_name.get(TIMEOUT_HEADER)
        if value is None:
            return math.inf
        try:
            seconds = float(value)
        except ValueError:
            return math.inf
        return math.inf if math.isnan(seconds) else max(0.0, seconds)

    def set_traceparent(self, traceparent: bytes) -> None:
        """Make this span the parent of the upstream's."""
        name = b"traceparent"
        self.headers = [*(header for header in self.headers if header[0] != name), (name, traceparent)]
        self.by_name[name] = traceparent

    def remove_header(self, name: bytes) -> None:
        """Keep a header from the upstream."""
        self.headers = [header for header in self.headers if header[0] != name]
        del self.by_name[name]

    def build_target(self, path: str) -> bytes:
        """`path` with the query of this request."""
        return path.encode("latin-1") + (b"?" + self.query if self.query else b"")

    def list_end_to_end_headers(self, *, without: frozenset[bytes] = frozenset()) -> Headers:
        """Headers for the upstream, without hop-by-hop, forwarded and internal ones."""
        dropped = HOP_BY_HOP | FORWARDED_HEADERS | without | {b"host", b"content-length", b"x-request-id"}
        repeats = len(self.by_name) != len(self.headers)
        if repeats or self.by_name.get(b"connection", b"keep-alive") != b"keep-alive":
            dropped = dropped.union(list_tokens(self.headers, b"connection"))
        headers = [
            header for header in self.headers if header[0] not in dropped and not header[0].startswith(INTERNAL_PREFIX)
        ]
        return _without_session(headers) if b"cookie" in self.by_name else headers


def _without_session(headers: Headers) -> Headers:
    """Without the console's cookie: upstreams may be modules."""
    stripped = [(name, remove_session_cookie(value) if name == b"cookie" else value) for name, value in headers]
    return [header for header in stripped if header != (b"cookie", b"")]
