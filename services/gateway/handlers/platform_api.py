"""`/api/v1`: forwarded to the registry or the scheduler with the name and scopes of the caller's token."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.types import Receive

from libs.common.errors import Forbidden
from libs.common.identity import (
    HEADER_ADDRESS,
    HEADER_PERSON,
    HEADER_SCOPES,
    HEADER_SESSION,
    HEADER_TOKEN_NAME,
    HEADER_USER,
    OWNER_USER,
    Caller,
)
from libs.common.scopes import INCLUDED_BY
from services.gateway.auth.authenticator import READ_METHODS, ROLE_LOST, parse_credentials
from services.gateway.auth.tokens import TokenVerifier
from services.gateway.handlers.service_forwarder import ServiceForwarder, encode_header
from services.gateway.http_errors import MissingCredentials
from services.gateway.internal_client import InternalServices
from services.gateway.proxy.access_watch import AccessWatch
from services.gateway.proxy.content_encoding import decode_body
from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.proxy.upstream_connection import Headers
from services.gateway.routing.paths import Route

SIGN_IN_PATHS = frozenset({"/api/v1/setup", "/api/v1/sessions"})
"""Where people come in: POST needs no bearer token."""


class PlatformApiHandler:
    def __init__(
        self,
        services: InternalServices,
        forwarder: ServiceForwarder,
        tokens: TokenVerifier,
        trusted_proxies: TrustedProxies,
        body_limit: int | None,
    ) -> None:
        self._services = services
        self._forwarder = forwarder
        self._tokens = tokens
        self._trusted_proxies = trusted_proxies
        self._body_limit = body_limit

    async def handle(self, route: Route, request: Request, receive: Receive, response: ResponseWriter) -> None:
        """Raises MissingCredentials, Unavailable."""
        identity: Headers = [encode_header(HEADER_ADDRESS, self._trusted_proxies.get_client_address(request))]
        bearer, person = parse_credentials(request.by_name).bearer, ""
        if not (route.open or is_sign_in(request)):
            if bearer is None:
                raise MissingCredentials()
            caller = await self._tokens.verify(bearer)
            person, request.user = caller.person, caller.person or caller.token_name
            request.access_watch = AccessWatch(lambda: self._check_scopes(bearer, request, caller))
            identity += [
                encode_header(HEADER_USER, OWNER_USER),
                encode_header(HEADER_TOKEN_NAME, caller.token_name),
                encode_header(HEADER_SCOPES, " ".join(sorted(caller.scopes))),
                encode_header(HEADER_PERSON, caller.person),
                encode_header(HEADER_SESSION, caller.session),
            ]
        body = decode_body(request, receive, self._body_limit)
        service, path = self._services.get(route.service), request.raw_path.rstrip("/")
        try:
            await self._forwarder.forward(service, request, path, identity, body, response)
        finally:
            if bearer is not None and person and request.method not in READ_METHODS:
                self._tokens.ask_again(bearer)  # who has created an app owns it from the next call on

    async def _check_scopes(self, bearer: str, request: Request, before: Caller) -> None:
        """Raises Forbidden when the caller lost a scope since, for the app of the path or where that names none."""
        caller, app = await self._tokens.verify(bearer), find_app(request.raw_path)
        if any(before.has_scope(scope, app) and not caller.has_scope(scope, app) for scope in INCLUDED_BY):
            raise Forbidden(ROLE_LOST)


def find_app(raw_path: str) -> str | None:
    """The app that a path such as `/api/v1/apps/texts/…` names."""
    parts = raw_path.split("/")
    return unquote(parts[4]) if parts[3:4] == ["apps"] and len(parts) > 4 else None


def is_sign_in(request: Request) -> bool:
    """Whether the credentials are in the body."""
    return request.method == "POST" and request.raw_path.rstrip("/") in SIGN_IN_PATHS
