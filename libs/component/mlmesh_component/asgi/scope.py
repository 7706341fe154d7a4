"""The ASGI scope of a request, with the address that callers see: the gateway's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional
from urllib.parse import unquote

from ..api.auth import OWNER_HEADER
from ..http.framing import Request
from .lifespan import ASGI

PREFIX = b"x-forwarded-prefix"
"""The public path prefix of the application. Only requests of the gateway have this header."""
_FORWARDED = frozenset((PREFIX, b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-for"))
_HIDDEN_HEADERS = _FORWARDED | {b"x-mlmesh-token", OWNER_HEADER, b"host"}

Address = Optional[tuple[str, int]]


def build_scope(
    scope_type: str, request: Request, peer: Address, server: Address, state: Mapping[str, Any], trusted: bool
) -> dict[str, Any]:
    """`scope_type` is `http` or `websocket`. `trusted`: the forwarded headers come from the gateway."""
    headers, forwarded = request.headers, request.headers if trusted else {}
    raw, _, query = request.target.partition(b"?")
    prefix = forwarded.get(PREFIX, b"").decode("latin-1")
    scheme = forwarded.get(b"x-forwarded-proto", b"http").decode("latin-1")
    client = forwarded.get(b"x-forwarded-for", b"").partition(b",")[0].decode("latin-1").strip()
    host = forwarded.get(b"x-forwarded-host") or headers.get(b"host", b"")
    dropped = _HIDDEN_HEADERS if trusted else frozenset((b"host",))
    scope = {
        "type": scope_type,
        "asgi": ASGI,
        "http_version": f"1.{request.minor}",
        "scheme": scheme if scope_type == "http" else {"https": "wss"}.get(scheme, "ws"),
        "root_path": prefix,
        "path": prefix + unquote(raw.decode("latin-1")),
        "raw_path": prefix.encode("latin-1") + raw,
        "query_string": query,
        "headers": [(b"host", host), *[header for header in headers.items() if header[0] not in dropped]],
        "client": (client, 0) if client else peer,
        "server": server,
        "state": dict(state),
    }
    if scope_type == "http":
        return {**scope, "method": request.method.decode("ascii")}
    offered = headers.get(b"sec-websocket-protocol", b"").decode("latin-1")
    return {**scope, "subprotocols": [name.strip() for name in offered.split(",") if name.strip()]}
