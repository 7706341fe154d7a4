"""`/{ns}/{path}`: predictions, submissions of runs, documentation, and web applications with paths of their own."""

from __future__ import annotations

import time
from urllib.parse import quote

from starlette.types import Receive

from libs.common.errors import NotFound
from libs.common.identity import HEADER_PIPELINES, HEADER_USER
from libs.common.protocol.route_table import Api
from libs.common.settings import Settings
from libs.common.signed_tokens import GRANT_HEADER, GrantSigner
from services.gateway.auth.authenticator import Authenticator
from services.gateway.handlers.component_docs import ComponentDocs
from services.gateway.handlers.service_forwarder import ServiceForwarder, encode_header
from services.gateway.http_errors import WrongApiKind
from services.gateway.internal_client import InternalService
from services.gateway.pages import html_pages
from services.gateway.predict.handler import PredictionHandler, PredictionRequest, get_component
from services.gateway.proxy.body import Body
from services.gateway.proxy.content_encoding import decode_body
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.routing.paths import PREDICTIONS_PATH, SUBMISSIONS_PATH, Route, check_method
from services.gateway.routing.route_table import App, Component

TARGETS = {"predict": "ml", "submit": "pipeline", "web_app": ""}
"""The target that an API must have for a kind of route; kinds that are not here suit every target."""


class AppApiHandler:
    def __init__(
        self,
        settings: Settings,
        scheduler: InternalService,
        forwarder: ServiceForwarder,
        authenticator: Authenticator,
        grant_signer: GrantSigner,
        predictions: PredictionHandler,
        docs: ComponentDocs,
    ) -> None:
        self._body_limit = settings.body_limit
        self._file_limit = settings.file_limit
        self._scheduler = scheduler
        self._forwarder = forwarder
        self._authenticator = authenticator
        self._grant_signer = grant_signer
        self._predictions = predictions
        self._docs = docs

    async def handle(
        self, app: App, route: Route, request: Request, receive: Receive, response: ResponseWriter
    ) -> None:
        """Raises NotFound, WrongApiKind, WrongMethod, and what authentication and the upstream raise."""
        api = app.paths.get(route.path)
        if api is None:
            raise NotFound(f'the app "{app.ns}" has no API at "{route.path}"')
        component = get_component(app, api) if api.target == "ml" else None
        if component is not None and component.is_web_app:
            await self._handle_web_app(app, api, component, route, request, receive, response)
            return
        if TARGETS.get(route.kind) not in (None, api.target):
            if route.kind == "web_app" and route.suffix in ("", "/") and request.wants_html:
                await response.redirect_to(f"/{quote(app.ns)}/{quote(route.path)}/docs")
                return
            raise WrongApiKind(app.ns, route.path, api.target)
        check_method(route.kind, request.method)
        worker_user = self._find_worker_user(app, api, request) if GRANT_HEADER in request.by_name else None
        user = request.user = worker_user or await self._authenticator.authenticate_api(app, api, request)
        if route.kind == "submit":
            await self._submit_run(app, api, user, SUBMISSIONS_PATH, request, receive, response)
        elif route.kind == "predict" and worker_user is None and wants_async(request):
            await self._submit_run(app, api, user, PREDICTIONS_PATH, request, receive, response)
        elif component is not None and route.kind == "predict":
            body, from_worker = decode_body(request, receive, self._body_limit), worker_user is not None
            prediction = PredictionRequest(app, api, component, user, request, body, "/predict", from_worker)
            await self._predictions.handle(prediction, response)
        elif route.kind == "describe":
            await response.send_json(await self._docs.build_document(app, api))
        else:
            await response.send_html(html_pages.render_api_docs(await self._docs.build_document(app, api)))

    async def _handle_web_app(
        self,
        app: App,
        api: Api,
        component: Component,
        route: Route,
        request: Request,
        receive: Receive,
        response: ResponseWriter,
    ) -> None:
        """Every path and method goes to the component."""
        user = request.user = await self._authenticator.authenticate_api(app, api, request)
        if not route.suffix and request.method in ("GET", "HEAD") and request.take_transport is None:
            await response.redirect_to_directory(request)  # relative links of its pages need the slash
            return
        body, target = Body(request, receive, self._file_limit), route.suffix or "/"
        prediction = PredictionRequest(app, api, component, user, request, body, target)
        await self._predictions.handle(prediction, response)

    async def _submit_run(
        self,
        app: App,
        api: Api,
        user: str,
        template: str,
        request: Request,
        receive: Receive,
        response: ResponseWriter,
    ) -> None:
        """`template`: the path of the scheduler for submissions, or for predictions that become runs."""
        identity = [encode_header(HEADER_USER, user), encode_header(HEADER_PIPELINES, api.name or "")]
        path = template.format(ns=app.ns, path=quote((api.path or "").strip("/"), safe=""))
        body = decode_body(request, receive, self._body_limit)
        await self._forwarder.forward(self._scheduler, request, path, identity, body, response)

    def _find_worker_user(self, app: App, api: Api, request: Request) -> str | None:
        """The user for whom a worker performs an asynchronous prediction; None when the grant is for something else."""
        grant = self._grant_signer.verify(request.by_name[GRANT_HEADER].decode("latin-1"), time.time())
        is_valid = (
            grant is not None
            and grant.api_path
            and (grant.app, grant.api_path) == (app.ns, (api.path or "").strip("/"))
        )
        return grant.user if grant is not None and is_valid else None


def wants_async(request: Request) -> bool:
    """Whether the caller prefers a run to waiting for the response (RFC 7240)."""
    prefer = request.by_name.get(b"prefer")
    return prefer is not None and b"respond-async" in prefer
