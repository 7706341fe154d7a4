"""CORS (Fetch standard): which origins may call an API from a browser and read its responses.

`Access-Control-Allow-Credentials` is never sent: saved passwords and cookies stay out, a page must send an API key or
a password that it has. For that reason every response header may be exposed.
"""

from __future__ import annotations

from collections.abc import Collection

from libs.common.errors import Forbidden
from libs.common.protocol.route_table import Api
from services.gateway.proxy.request import Request
from services.gateway.proxy.upstream_connection import Headers
from services.gateway.routing.paths import Route
from services.gateway.routing.route_table import App, RouteTable

ANY_ORIGIN = "*"
ORIGIN = b"origin"
OPAQUE_ORIGIN = b"null"
"""The `Origin` that a sandboxed page sends."""
REQUEST_METHOD, REQUEST_HEADERS = b"access-control-request-method", b"access-control-request-headers"
VARY = (b"vary", b"Origin")
EXPOSE_ALL_HEADERS = (b"access-control-expose-headers", b"*")
MAX_AGE = (b"access-control-max-age", b"600")
"""Seconds for which a browser caches a preflight."""


def get_allowed_origins(table: RouteTable, route: Route, request: Request) -> Collection[str]:
    """The origins of the API, or of all APIs behind a path of the whole app.

    The sandboxed page of a web application is of another origin than its scripts; where it needs no credentials, any
    page may read them.
    """
    app = table.apps.get(route.ns)
    if request.by_name.get(ORIGIN) == OPAQUE_ORIGIN and not request.own_app:
        web_app = table.find_web_app(route.ns, route.path)
        if web_app is not None and web_app.auth.is_open:
            return (ANY_ORIGIN,)
    if app is None or not app.uses_cors:
        return (ANY_ORIGIN,) if route.kind == "links" else ()  # a signed link is the only credential
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
    """Headers for every response to this origin; `Vary` where the response depends on it."""
    if not allowed:
        return []
    if ANY_ORIGIN in allowed:
        return [(b"access-control-allow-origin", b"*"), EXPOSE_ALL_HEADERS]
    if origin is not None and origin.decode("latin-1") in allowed:
        return [(b"access-control-allow-origin", origin), EXPOSE_ALL_HEADERS, VARY]
    return [VARY]


def is_preflight(request: Request) -> bool:
    """Whether this is the question that browsers ask before a cross-origin request."""
    return request.method == "OPTIONS" and ORIGIN in request.by_name and REQUEST_METHOD in request.by_name


def build_preflight_headers(allowed: Collection[str], request: Request) -> Headers:
    """Allows whatever method and headers are requested: the request itself gets an error that the page can read.

    Raises Forbidden.
    """
    origin, by_name = request.by_name[ORIGIN].decode("latin-1"), request.by_name
    if ANY_ORIGIN not in allowed and origin not in allowed:
        raise Forbidden(f"origin {origin} may not call this API; allow it in restfulApi.cors of the APIComponent")
    headers = [(b"access-control-allow-methods", by_name[REQUEST_METHOD]), MAX_AGE]
    requested = by_name.get(REQUEST_HEADERS)
    return [*headers, (b"access-control-allow-headers", requested)] if requested else headers
