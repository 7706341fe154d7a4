"""`/{ns}/runs`: the caller's runs, forwarded to the scheduler with the pipelines that the credentials are good for."""

from __future__ import annotations

from starlette.types import Receive

from libs.common.identity import HEADER_PIPELINES, HEADER_USER
from services.gateway.auth.authenticator import Authenticator
from services.gateway.handlers.service_forwarder import ServiceForwarder, encode_header
from services.gateway.internal_client import InternalService
from services.gateway.proxy.content_encoding import decode_body
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.routing.paths import RUNS_PATH, Route
from services.gateway.routing.route_table import App


class RunsHandler:
    def __init__(
        self,
        scheduler: InternalService,
        forwarder: ServiceForwarder,
        authenticator: Authenticator,
        body_limit: int | None,
    ) -> None:
        self._scheduler = scheduler
        self._forwarder = forwarder
        self._authenticator = authenticator
        self._body_limit = body_limit

    async def handle(
        self, app: App, route: Route, request: Request, receive: Receive, response: ResponseWriter
    ) -> None:
        has_run_id = route.suffix.strip("/") != ""
        caller = await self._authenticator.authenticate_runs(app, request, has_run_id=has_run_id)
        request.user = caller.user
        identity = [
            encode_header(HEADER_USER, caller.user),
            encode_header(HEADER_PIPELINES, " ".join(sorted(caller.pipelines))),
        ]
        path = RUNS_PATH.format(ns=app.ns) + route.suffix
        response.is_sandboxed = request.own_app != app.ns
        body = decode_body(request, receive, self._body_limit)
        await self._forwarder.forward(self._scheduler, request, path, identity, body, response)
