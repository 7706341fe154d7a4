"""Whether a request comes from this machine, and may see apps that are not public. Pure.

A reverse proxy on this machine also connects from a loopback address. It is recognised by a proxy header, by the host
that the client typed, or by the mesh's public address.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from libs.common.http.addresses import is_loopback
from services.gateway.proxy.request import Request

PROXY_HEADERS = frozenset(
    {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-server",
     b"x-real-ip"}
)  # fmt: skip


def is_local(request: Request, public_url: str) -> bool:
    if PROXY_HEADERS & request.by_name.keys() or not is_loopback(request.peer):
        return False
    host = request.by_name.get(b"host", b"").decode("latin-1")
    return _is_local_url(f"//{host}") and _is_local_url(public_url)


def _is_local_url(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host.endswith(".localhost") or is_loopback(host)
