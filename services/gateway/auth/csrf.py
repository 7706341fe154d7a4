"""Whether a request was made by another site's page in its visitor's browser.

A browser adds the Basic password that it remembers to whatever any page lets it send. It also says where the page came
from: what changes something is refused then. Other credentials are never added without the page knowing them.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from libs.common.errors import Forbidden
from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.request import Request
from services.gateway.routing.route_table import Api

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class CsrfGuard:
    def __init__(self, public_url: str, trusted_proxies: TrustedProxies) -> None:
        self._public_authority = _parse_authority(public_url)
        self._trusted_proxies = trusted_proxies

    def check(self, request: Request, apis: Iterable[Api]) -> None:
        """`apis` may name origins of other sites that may; all of them together may not. Raises Forbidden."""
        if request.method in SAFE_METHODS and request.take_transport is None:  # a WebSocket is begun with GET
            return
        by_name = request.by_name
        origin, site = by_name.get(b"origin"), by_name.get(b"sec-fetch-site")
        if origin is None and site is None:  # no browser, or an old one's own page
            return
        if by_name.get(b"authorization", b"")[:6].lower() != b"basic " or b"x-api-key" in by_name:
            return
        page = (origin or b"").decode("latin-1")
        if self._is_cross_site(request, origin, site) and not any(page in api.cors for api in apis):
            raise Forbidden(
                "a page of another site may not use the password that the browser remembers here;"
                " let it send an API key or a token"
            )

    def _is_cross_site(self, request: Request, origin: bytes | None, site: bytes | None) -> bool:
        if site in (b"same-origin", b"none"):
            return False
        if origin is None:
            return True
        requested_host = self._trusted_proxies.get_requested_host(request).decode("latin-1").lower()
        return _parse_authority(origin.decode("latin-1")) not in (requested_host, self._public_authority)


def _parse_authority(origin: str) -> str:
    """Host and port. TLS may end before us, so the scheme says nothing."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
