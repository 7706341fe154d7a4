"""Which pages of other origins may call an API and read what it answers: the CORS protocol of the Fetch standard.

What a browser adds by itself (a remembered password, cookies) stays out of it: `Access-Control-Allow-Credentials` is
never sent, so a page shows a key or a password that it was given. That is also why every header may be read.
"""

from __future__ import annotations

from collections.abc import Collection

from libs.common.errors import Forbidden
from services.gateway.proxy.request import Request
from services.gateway.proxy.upstream_connection import Headers
from services.gateway.routing.paths import Route
from services.gateway.routing.route_table import Api, App, RouteTable

ANY_ORIGIN = "*"
ORIGIN = b"origin"
REQUEST_METHOD, REQUEST_HEADERS = b"access-control-request-method", b"access-control-request-headers"
VARY = (b"vary", b"Origin")
EXPOSE_ALL_HEADERS = (b"access-control-expose-headers", b"*")
MAX_AGE = (b"access-control-max-age", b"600")
"""Seconds for which a browser asks no more."""


def get_allowed_origins(table: RouteTable, route: Route) -> Collection[str]:
    """Whose pages may: as the API says, or any of the APIs that an address of the whole app is for."""
    app = table.apps.get(route.ns)
    if app is None or not app.uses_cors:
        return (ANY_ORIGIN,) if route.kind == "links" else ()  # who has a link needs no more
    if route.kind not in ("runs", "files", "v2"):
        api = app.paths.get(route.path)
        return api.cors if api is not None else ()
    return {origin for api in _list_apis(app, route) for origin in api.cors}


def _list_apis(app: App, route: Route) -> Collection[Api]:
    match route.kind:
        case "runs":
            return app.list_run_apis()
        case "files":
            return [api for api in app.apis if api.target == "files"]
    return app.models.get(route.path, ()) if route.path else [api for api in app.apis if api.target == "ml"]


def build_response_headers(allowed: Collection[str], origin: bytes | None) -> Headers:
    """For every answer to a request of this origin; a cache is told when it is not one for all."""
    if not allowed:
        return []
    if ANY_ORIGIN in allowed:
        return [(b"access-control-allow-origin", b"*"), EXPOSE_ALL_HEADERS]
    if origin is not None and origin.decode("latin-1") in allowed:
        return [(b"access-control-allow-origin", origin), EXPOSE_ALL_HEADERS, VARY]
    return [VARY]


def is_preflight(request: Request) -> bool:
    """A browser asks whether a page may, before it lets it."""
    return request.method == "OPTIONS" and ORIGIN in request.by_name and REQUEST_METHOD in request.by_name


def build_preflight_headers(allowed: Collection[str], request: Request) -> Headers:
    """What the answer to a preflight says besides: a wrong method is refused in words that the page can read.

    Raises Forbidden.
    """
    origin, by_name = request.by_name[ORIGIN].decode("latin-1"), request.by_name
    if ANY_ORIGIN not in allowed and origin not in allowed:
        raise Forbidden(f"pages of {origin} may not call this; the APIComponent says which may, in restfulApi.cors")
    headers = [(b"access-control-allow-methods", by_name[REQUEST_METHOD]), MAX_AGE]
    requested = by_name.get(REQUEST_HEADERS)
    return [*headers, (b"access-control-allow-headers", requested)] if requested else headers
