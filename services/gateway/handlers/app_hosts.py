"""Hosts of the apps: each serves one app, and browsers are led there to pages of web applications."""

from __future__ import annotations

from libs.common.errors import NotFound
from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.routing.origins import AppOrigins, is_page_request
from services.gateway.routing.paths import Route
from services.gateway.routing.route_table import RouteTable


class AppHosts:
    def __init__(self, origins: AppOrigins, trusted_proxies: TrustedProxies, public_url: str) -> None:
        self._origins = origins
        self._trusted_proxies = trusted_proxies
        self._public_url = public_url

    def find_app(self, table: RouteTable, request: Request) -> str:
        """The app on whose own host the request arrived; empty on a host that apps share."""
        if not self._origins.are_separate:
            return ""
        app = self._origins.find_app(self._trusted_proxies.get_requested_host(request))
        return app if app in table.apps else ""

    async def redirect(
        self, table: RouteTable, route: Route | None, request: Request, response: ResponseWriter
    ) -> bool:
        """Redirect to the host where the path belongs; whether it did. Raises NotFound for programs on a wrong host."""
        if request.own_app:
            if route is not None and route.ns == request.own_app:
                return False
            elsewhere = self._public_url + (f"/{request.own_app}" if request.raw_path == "/" else request.raw_path)
            if not is_page_request(request):
                raise NotFound(f"this host serves only the app {request.own_app}; use {elsewhere}")
            await response.redirect_to(elsewhere)
            return True
        if not self._origins.are_separate or route is None or not is_page_request(request):
            return False
        if table.find_web_app(route.ns, route.path) is None:
            return False
        host = self._trusted_proxies.get_requested_host(request)
        scheme = self._trusted_proxies.get_requested_scheme(request)
        target = request.build_target(request.raw_path)
        await response.redirect_to(self._origins.build_url(route.ns, scheme, host, target))
        return True
