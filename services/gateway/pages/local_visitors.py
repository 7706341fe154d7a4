"""Whether a visitor is on this machine, and so may see what is not for everybody. Pure.

A proxy on this machine calls from it for anybody. Most say so in a header, or pass on the name that was typed; one that
does neither stands before a mesh that is published under a name, which its public address tells.
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
