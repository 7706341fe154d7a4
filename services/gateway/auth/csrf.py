"""Protection against cross-site request forgery (CSRF).

A browser adds a saved Basic password to requests from pages of any site, and names the page's origin. Requests that
change something are refused when the origin is foreign. Browsers never add API keys or tokens by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from libs.common.errors import Forbidden
from libs.common.protocol.route_table import Api
from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.request import Request

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class CsrfGuard:
    def __init__(self, public_url: str, trusted_proxies: TrustedProxies) -> None:
        self._public_authority = _parse_authority(public_url)
        self._trusted_proxies = trusted_proxies

    def check(self, request: Request, apis: Iterable[Api]) -> None:
        """Raises Forbidden, unless the CORS origins of one of `apis` name the page's origin."""
        if request.method in SAFE_METHODS and request.take_transport is None:  # a WebSocket starts with GET
            return
        by_name = request.by_name
        origin, site = by_name.get(b"origin"), by_name.get(b"sec-fetch-site")
        if origin is None and site is None:  # not a browser, or an old one on our own page
            return
        if by_name.get(b"authorization", b"")[:6].lower() != b"basic " or b"x-api-key" in by_name:
            return
        page = (origin or b"").decode("latin-1")
        if self._is_cross_site(request, origin, site) and not any(page in api.cors for api in apis):
            raise Forbidden(
                "a page of another site cannot use the password that the browser has saved for this one;"
                " send an API key or a token instead"
            )

    def _is_cross_site(self, request: Request, origin: bytes | None, site: bytes | None) -> bool:
        if site in (b"same-origin", b"none"):
            return False
        if origin is None:
            return True
        requested_host = self._trusted_proxies.get_requested_host(request).decode("latin-1").lower()
        return _parse_authority(origin.decode("latin-1")) not in (requested_host, self._public_authority)


def _parse_authority(origin: str) -> str:
    """Host and port. TLS may terminate at a proxy, so the scheme is not compared."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
